"""Links by rtnetlink, in a network namespace of the test's own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podling.linux import namespaces
from podling.linux.families import IPV6
from podling.linux.netlink import Netlink

pytestmark = pytest.mark.root


@pytest.fixture
def spaces(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two network namespaces."""
    pins = [tmp_path / name for name in ("here", "there")]
    for pin in pins:
        namespaces.create(pin, ("net",), sysctls={})
    here, there = (str(pin / "net") for pin in pins)
    yield here, there
    for pin in pins:
        namespaces.release(pin)


def test_a_link_is_waited_for_until_its_other_end_is_up(spaces: tuple[str, str]) -> None:
    """It takes no packets before, however long that is; once it does nobody waits."""
    here, there = spaces

    def near() -> tuple[bool, bool]:
        with Netlink() as netlink, open(there) as other:  # noqa: PTH123
            netlink.create_veth(
                "near", b"\2\0\0\0\0\1", "far", b"\2\0\0\0\0\2", mtu=1400, peer_namespace=other.fileno()
            )
            index = socket.if_nametoindex("near")
            netlink.set_up(index)
            before = netlink._takes_packets(index)
            timer = threading.Timer(0.2, lambda: namespaces.inside(there, far))
            timer.start()
            netlink.wait_up(index)
            timer.join()
            return before, netlink._takes_packets(index)

    def far() -> None:
        with Netlink() as netlink:
            netlink.set_up(socket.if_nametoindex("far"))

    assert namespaces.inside(here, near) == (False, True)


def test_of_a_family_that_the_kernel_lacks_there_is_nothing_to_delete(
    spaces: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a start of the machine without IPv6, where the data tell of a time with it."""
    lacking = replace(IPV6, number=socket.AF_VSOCK)  # it has no addresses that netlink knows

    def delete() -> None:
        with Netlink() as netlink:
            netlink.delete_address(socket.if_nametoindex("lo"), ip_address("fd00::1"))
            netlink.delete_route(ip_network("fd00::/64"))
            assert netlink.addresses(lacking) == frozenset()
            assert netlink.routes(lacking) == []

    monkeypatch.setattr("podling.linux.netlink.family_of", lambda _what: lacking)
    namespaces.inside(spaces[0], delete)
