"""Pod addresses and ranges: no two Pods share one, and a restart forgets nothing."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path

import pytest

from podling.linux.families import IPV6
from podling.network.addresses import Addresses, RangeFull
from podling.network.ranges import DEFAULT, PREFERRED, NodeRange, NoRange, choose, part_of


def begin(addresses: Addresses, *networks: str) -> None:
    """Give a node these ranges, the whole of each."""
    addresses.set_ranges([NodeRange(ip_network(each), ip_network(each)) for each in networks])


def test_addresses_are_kept_and_reused_late(tmp_path: Path) -> None:
    """A Pod keeps its address, also after a restart; a released one comes again only after all others."""
    addresses = Addresses(tmp_path / "a.json")
    begin(addresses, "10.1.0.0/29")
    given = [addresses.allocate(uid)[0] for uid in ("a", "b", "c")]
    assert len(set(given)) == 3
    assert addresses.ranges[0].gateway not in given
    addresses.release("b")
    again = Addresses(tmp_path / "a.json")
    assert again.allocate("a")[0] == given[0]
    assert again.allocate("d")[0] not in given
    assert again.allocate("e")[0] not in {given[0], given[2]}
    with pytest.raises(RangeFull):
        for number in range(9):
            again.allocate(f"more-{number}")
    assert len(set(map(tuple, again.held().values()))) == len(again.held()) == 5


def test_what_was_half_written_when_podling_was_killed_was_given_to_nobody(tmp_path: Path) -> None:
    """The addresses before it are kept, and so is what is given out afterwards."""
    path = tmp_path / "a.json"
    addresses = Addresses(path)
    begin(addresses, "10.1.0.0/24")
    kept = addresses.allocate("kept")
    before = path.read_bytes()
    addresses.allocate("lost")
    path.write_bytes(path.read_bytes()[:-9])
    again = Addresses(path)
    assert again.held() == {"kept": kept}
    other = again.allocate("other")
    assert path.read_bytes().startswith(before)
    assert Addresses(path).held() == {"kept": kept, "other": other}


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Thousands of Pods come and go, and the file holds those that are there."""
    path = tmp_path / "a.json"
    addresses = Addresses(path)
    begin(addresses, "10.1.0.0/16")
    for number in range(1500):
        addresses.allocate(f"pod-{number}")
        addresses.release(f"pod-{number}")
    last = addresses.allocate("last")
    assert path.stat().st_size < 60_000
    again = Addresses(path)
    assert again.held() == {"last": last}
    assert again.allocate("next") == [last[0] + 1]


def test_a_pod_has_the_same_place_in_the_ranges_of_both_families(tmp_path: Path) -> None:
    """So one line on disk is enough for both; what a file of an older Podling gave out gets its other address too."""
    path = tmp_path / "a.json"
    path.write_bytes(b'{"range":"10.1.0.0/24","cluster":"10.1.0.0/16","addresses":{"old":5},"cursor":5,"version":1}\n')
    addresses = Addresses(path)
    assert addresses.held() == {"old": [ip_address("10.1.0.5")]}
    four = NodeRange(ip_network("10.1.0.0/16"), ip_network("10.1.0.0/24"))
    six = NodeRange(ip_network("fd00::/56"), ip_network("fd00::/64"))
    addresses.set_ranges([four, six])
    assert addresses.allocate("old") == [ip_address("10.1.0.5"), ip_address("fd00::5")]
    assert addresses.allocate("new") == [ip_address("10.1.0.6"), ip_address("fd00::6")]
    again = Addresses(path)
    assert again.ranges == (four, six)
    assert again.held() == addresses.held()
    again.set_ranges([four])
    assert Addresses(path).held() == {"old": [ip_address("10.1.0.5")], "new": [ip_address("10.1.0.6")]}


def test_the_next_free_range_is_taken() -> None:
    """What overlaps a route of the machine is passed over; the default route overlaps nothing."""
    everything = IPv4Network("0.0.0.0/0")
    assert choose([everything]) == DEFAULT
    assert choose([IPv4Network("10.244.3.0/24")]) == IPv4Network("10.245.0.0/16")
    assert choose([IPv4Network("10.128.0.0/9")]) == IPv4Network("10.0.0.0/16")
    with pytest.raises(NoRange, match="10.0.0.0/8"):
        choose([IPv4Network("10.0.0.0/8")])
    six = PREFERRED[IPV6]
    assert choose([ip_network("::/0"), ip_network("fd00::/64"), DEFAULT], six) == six
    assert choose([ip_network("fd00:10:244:7::/64")], six) == ip_network("fd00:10:245::/56")
    assert choose([ip_network("fd00:10:200::/39")], six) == ip_network("fd00:10:400::/56")
    with pytest.raises(NoRange, match="fd00:10::/32"):
        choose([ip_network("fd00:10::/16", strict=False)], six)


def test_an_older_range_is_narrowed_where_its_pods_fit(tmp_path: Path) -> None:
    """What one node held whole becomes its part, Pods keep their addresses; where one lies outside, nothing changes."""
    whole = IPv4Network("10.1.0.0/16")
    part = part_of(whole, 0)
    addresses = Addresses(tmp_path / "fits.json")
    begin(addresses, "10.1.0.0/16")
    kept = addresses.allocate("kept")
    assert addresses.narrow(part)
    again = Addresses(tmp_path / "fits.json")
    assert again.ranges == (NodeRange(whole, part),)
    assert again.held() == {"kept": kept}
    assert again.allocate("next")[0] in part

    addresses = Addresses(tmp_path / "wide.json")
    begin(addresses, "10.1.0.0/16")
    for number in range(300):
        addresses.allocate(f"pod-{number}")
        if number:
            addresses.release(f"pod-{number - 1}")
    assert not addresses.narrow(part)
    assert Addresses(tmp_path / "wide.json").ranges == (NodeRange(whole, whole),)
    addresses.release("pod-299")
    assert addresses.narrow(part)
    assert addresses.allocate("after")[0] in part


def test_nodes_have_parts_of_the_range() -> None:
    """Each node's is the next /24; a range too small for so many says so."""
    whole = IPv4Network("10.1.0.0/16")
    assert [part_of(whole, number) for number in (0, 1, 255)] == [
        IPv4Network("10.1.0.0/24"),
        IPv4Network("10.1.1.0/24"),
        IPv4Network("10.1.255.0/24"),
    ]
    with pytest.raises(NoRange, match="256 nodes"):
        part_of(whole, 256)
    assert part_of(PREFERRED[IPV6], 255) == ip_network("fd00:10:244:ff::/64")
    with pytest.raises(NoRange, match="256 nodes"):
        part_of(PREFERRED[IPV6], 256)
    assert part_of(IPv4Network("10.1.0.0/28"), 0) == IPv4Network("10.1.0.0/28")
