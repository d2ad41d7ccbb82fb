"""Where Services have their addresses: two clusters on a machine never share a range."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network
from pathlib import Path

import pytest

from podling.linux.families import FAMILIES
from podling.network import service_ranges
from podling.network.service_ranges import FamilyRanges, ServiceRanges, ServicesHeld, reserve, reserved


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that knows one way, into the first range for load balancers."""
    monkeypatch.setattr(service_ranges, "_routes", lambda: [IPv4Network("10.97.0.0/16")])
    return tmp_path


def test_each_instance_gets_ranges_of_its_own_and_keeps_them(machine: Path) -> None:
    """The second takes the next that are free; asked again after a restart, both have what they had."""
    run = machine / "run"
    first = reserve(machine / "one", run / "one")
    assert first == ServiceRanges("10.96.0.0/16", "10.98.0.0/24")
    second = reserve(machine / "two", run / "two")
    assert second == ServiceRanges("10.99.0.0/16", "10.98.1.0/24")
    assert reserve(machine / "one", run / "one") == first
    assert reserved(run) == [*first.networks, *second.networks]
    assert reserved(run, but="one") == [*second.networks]


def test_a_cluster_of_both_families_has_ranges_of_both(machine: Path) -> None:
    """Chosen when it gets the second, and kept from others also while it goes without: stored Services have them."""
    run = machine / "run"
    alone = reserve(machine / "one", run / "one")
    both = reserve(machine / "one", run / "one", families=FAMILIES)
    assert [each.services for each in both.of_families] == [alone.services, "fd00:10:96::/112"]
    assert [each.balancers for each in both.of_families] == [alone.balancers, "fd00:10:97::/120"]
    other = reserve(machine / "two", run / "two", families=FAMILIES)
    assert other.further == FamilyRanges("fd00:10:98::/112", "fd00:10:99::/120")
    chosen = ip_network("fd77::/120")
    assert reserve(machine / "one", run / "one") == alone
    assert reserved(run, but="two") == [network for each in both.of_families for network in each.networks]
    again = reserve(machine / "one", run / "one", [chosen], FAMILIES)
    assert again.further == FamilyRanges("fd00:10:96::/112", "fd77::/120")
    with pytest.raises(ServicesHeld, match="fd00:10:96::/64, wanted for load balancers, overlaps"):
        reserve(machine / "one", run / "one", [ip_network("fd00:10:96::/64")], FAMILIES)


def test_a_range_that_was_lost_meanwhile_is_not_shared(machine: Path) -> None:
    """Down without a reservation, its range goes to another: it may not start on it again, since Services are stored."""
    run = machine / "run"
    reserve(machine / "one", run / "one")
    (run / "one" / "service-ranges").unlink()
    reserve(machine / "two", run / "two")
    with pytest.raises(ServicesHeld, match="10.96.0.0/16, where this cluster's Services are, overlaps 10.96.0.0/16"):
        reserve(machine / "one", run / "one")


def test_a_range_for_load_balancers_may_be_chosen(machine: Path) -> None:
    """At any start; one that the machine, another instance or the cluster's own Services have is refused by name."""
    run, own = machine / "run", IPv4Network("192.168.77.0/28")
    assert reserve(machine / "one", run / "one", [own]).balancers == "192.168.77.0/28"
    assert reserve(machine / "one", run / "one").balancers == "192.168.77.0/28"
    for taken, by in (("10.97.5.0/24", "10.97.0.0/16"), ("10.96.7.0/24", "10.96.0.0/16")):
        with pytest.raises(ServicesHeld, match=f"{taken}, wanted for load balancers, overlaps {by} of this machine"):
            reserve(machine / "one", run / "one", [IPv4Network(taken)])
    with pytest.raises(ServicesHeld, match="192.168.77.0/28, wanted for load balancers"):
        reserve(machine / "two", run / "two", [own])
    assert reserve(machine / "three", run / "three", [IPv4Network("10.98.0.0/24")]).services == "10.99.0.0/16"


def test_a_reservation_that_was_half_written_holds_nothing(machine: Path) -> None:
    """What a kill has left is passed over."""
    (machine / "run" / "dead").mkdir(parents=True)
    (machine / "run" / "dead" / "service-ranges").write_bytes(b'{"services": "10.9')
    assert reserved(machine / "run") == []
