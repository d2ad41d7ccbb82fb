"""Pod addresses and ranges: no two Pods share one, and a restart forgets nothing."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from podling.network.addresses import Addresses, RangeFull
from podling.network.ranges import DEFAULT, NoRange, choose, part_of


def test_addresses_are_kept_and_reused_late(tmp_path: Path) -> None:
    """A Pod keeps its address, also after a restart; a released one comes again only after all others."""
    addresses = Addresses(tmp_path / "a.json")
    addresses.set_range(IPv4Network("10.1.0.0/29"))
    given = [addresses.allocate(uid) for uid in ("a", "b", "c")]
    assert len(set(given)) == 3
    assert addresses.gateway not in given
    addresses.release("b")
    again = Addresses(tmp_path / "a.json")
    assert again.allocate("a") == given[0]
    assert again.allocate("d") not in given
    assert again.allocate("e") not in {given[0], given[2]}
    with pytest.raises(RangeFull):
        for number in range(9):
            again.allocate(f"more-{number}")
    assert len(set(again.held().values())) == len(again.held()) == 5


def test_what_was_half_written_when_podling_was_killed_was_given_to_nobody(tmp_path: Path) -> None:
    """The addresses before it are kept, and so is what is given out afterwards."""
    path = tmp_path / "a.json"
    addresses = Addresses(path)
    addresses.set_range(IPv4Network("10.1.0.0/24"))
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
    addresses.set_range(IPv4Network("10.1.0.0/16"))
    for number in range(1500):
        addresses.allocate(f"pod-{number}")
        addresses.release(f"pod-{number}")
    last = addresses.allocate("last")
    assert path.stat().st_size < 60_000
    again = Addresses(path)
    assert again.held() == {"last": last}
    assert again.allocate("next") == last + 1


def test_the_next_free_range_is_taken() -> None:
    """What overlaps a route of the machine is passed over; the default route overlaps nothing."""
    everything = IPv4Network("0.0.0.0/0")
    assert choose([everything]) == DEFAULT
    assert choose([IPv4Network("10.244.3.0/24")]) == IPv4Network("10.245.0.0/16")
    assert choose([IPv4Network("10.128.0.0/9")]) == IPv4Network("10.0.0.0/16")
    with pytest.raises(NoRange):
        choose([IPv4Network("10.0.0.0/8")])


def test_an_older_range_is_narrowed_where_its_pods_fit(tmp_path: Path) -> None:
    """What one node held whole becomes its part, Pods keep their addresses; where one lies outside, nothing changes."""
    whole = IPv4Network("10.1.0.0/16")
    part = part_of(whole, 0)
    addresses = Addresses(tmp_path / "fits.json")
    addresses.set_range(whole)
    kept = addresses.allocate("kept")
    assert addresses.narrow(part)
    again = Addresses(tmp_path / "fits.json")
    assert (again.range, again.cluster) == (part, whole)
    assert again.held() == {"kept": kept}
    assert again.allocate("next") in part

    addresses = Addresses(tmp_path / "wide.json")
    addresses.set_range(whole)
    for number in range(300):
        addresses.allocate(f"pod-{number}")
        if number:
            addresses.release(f"pod-{number - 1}")
    assert not addresses.narrow(part)
    assert Addresses(tmp_path / "wide.json").range == whole
    addresses.release("pod-299")
    assert addresses.narrow(part)
    assert addresses.allocate("after") in part


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
    assert part_of(IPv4Network("10.1.0.0/28"), 0) == IPv4Network("10.1.0.0/28")
