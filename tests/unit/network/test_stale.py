"""Which connections the kernel is to forget: those to a frontend that lead to none of its endpoints, and no others."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podling.linux.conntrack import UDP, Entry, Tuple
from podling.linux.families import FAMILIES, IPV4, Family
from podling.network.proxy.rules import Remembered, ServiceRules
from podling.network.proxy.sets import any_address, frontend_key, target_value
from podling.network.proxy.stale import is_stale, to_look_at

BOTH = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def address(family: Family, number: int) -> str:
    return f"10.0.0.{number}" if family is IPV4 else f"fd00::{number}"


def flow(asked: str, answering: str, port: int = 53) -> Entry:
    caller = "10.9.9.9" if "." in asked else "fd99::9"
    return Entry(1, Tuple(caller, asked, UDP, 4000, port), Tuple(answering, caller, UDP, 8053, 4000))


def target(text: str) -> bytes:
    return target_value(ip_address(text).packed, 8053)


@BOTH
def test_what_leads_to_an_endpoint_that_is_still_chosen_is_left_alone(family: Family) -> None:
    """Of the Service's address and port; other ports and addresses are not its."""
    vip, chosen, gone, other = (address(family, number) for number in (1, 5, 6, 2))
    frontends = {frontend_key(ip_address(vip).packed, UDP, 53): frozenset((target(chosen),))}
    assert is_stale(flow(vip, gone), frontends, frozenset())
    assert is_stale(flow(vip, vip), frontends, frozenset())
    assert not is_stale(flow(vip, chosen), frontends, frozenset())
    assert not is_stale(flow(vip, gone, 54), frontends, frozenset())
    assert not is_stale(flow(other, gone), frontends, frozenset())


@BOTH
def test_a_port_of_the_node_is_at_its_own_addresses(family: Family) -> None:
    """At all of 127.0.0.0/8 too, and not at ::1, whoever talks there: the rules lead nobody on from it."""
    own, chosen, gone, foreign = (address(family, number) for number in (1, 5, 6, 2))
    frontends = {frontend_key(any_address(family), UDP, 53): frozenset((target(chosen),))}
    loopback = ip_address("127.0.0.9" if family is IPV4 else "::1")
    addresses = frozenset((ip_address(own), loopback))
    assert is_stale(flow(own, gone), frontends, addresses)
    assert not is_stale(flow(own, chosen), frontends, addresses)
    assert not is_stale(flow(foreign, gone), frontends, addresses)
    assert is_stale(flow(str(loopback), gone), frontends, addresses) == (family is IPV4)


@BOTH
def test_what_changed_is_looked_at(family: Family) -> None:
    """An endpoint gone, the first one there, a Service gone; not one more beside others, and nothing of TCP."""
    one, two = target(address(family, 5)), target(address(family, 6))

    def rules(*targets: bytes, protocol: int = UDP) -> ServiceRules:
        key = frontend_key(ip_address(address(family, 1)).packed, protocol, 53)
        return ServiceRules(remembered={key: Remembered(key, frozenset(targets), sticky=False)})

    nothing = ServiceRules()
    [key] = rules().remembered
    for before, after, left in (
        (rules(one, two), rules(one), {one}),
        (rules(), rules(one), {one}),
        (nothing, rules(one), {one}),
        (rules(one), nothing, set()),
    ):
        assert to_look_at({"web": (before, after)}) == {key: frozenset(left)}
    for before, after in ((rules(one), rules(one, two)), (rules(one), rules(one)), (rules(one, protocol=6), nothing)):
        assert to_look_at({"web": (before, after)}) == {}
