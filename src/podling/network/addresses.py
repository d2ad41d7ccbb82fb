"""Who has which Pod addresses: allocated once, remembered, released.

A Pod has one place in its node's ranges, whatever their number: 10.244.0.9 and fd00:10:244::9 are one Pod's.
Owns `<data>/network/addresses.json`: a line of JSON with all that is known, and behind it a line for each address given
out or taken back since. Adding a line costs the loop 0.02 ms; replacing the file, as for all else, 0.3 ms and more the
more Pods there are. Invariants: a place belongs to one Pod; it is on disk before it is given out; a released one is
used again as late as possible, so that what remembers its addresses reaches nobody rather than somebody else.
"""

from __future__ import annotations

import errno
import os
from ipaddress import ip_network
from typing import TYPE_CHECKING

import msgspec

from podling.client.seams import WiringFailed
from podling.linux import files
from podling.network.ranges import NodeRange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from podling.linux.families import Address, Network


DNS = "kube-dns"
"""Stands in the place of a Pod's uid: the address of the cluster's DNS."""
OWN = (DNS,)
"""Whose addresses are the instance's own, on the loopback of its first node."""

_MOST_CHANGES = 1000
"""After so many lines the file is written anew."""


class _State(msgspec.Struct):
    range: str
    """The node's of the primary family."""
    addresses: dict[str, int] = {}
    """Pod uid to its place in the ranges."""
    cursor: int = 1
    sysctls: dict[str, str] = {}
    """What was found before it was changed."""
    version: int = 1
    cluster: str = ""
    """All nodes'; empty where an older Podling gave its one node the whole of it."""
    further: list[tuple[str, str]] = []
    """The same two of the other family, where there is one: the whole, and the node's."""


class RangeFull(WiringFailed):
    """Every address of the range is given out."""


class Addresses:
    """The ranges and what is given out of them. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: _State | None = None
        self._changes = 0
        if path.exists():
            self._load(path.read_bytes())

    def _load(self, content: bytes) -> None:
        first, *changes = content.split(b"\n")
        state = self._state = msgspec.json.decode(first, type=_State)
        for line in changes:
            try:
                uid, place = msgspec.json.decode(line, type=tuple[str, int | None])
            except msgspec.DecodeError:
                continue  # no line, or one half written when Podling was killed: nobody had heard of it
            self._changes += 1
            if place is None:
                state.addresses.pop(uid, None)
            else:
                state.addresses[uid] = state.cursor = place

    @property
    def ranges(self) -> Sequence[NodeRange]:
        """The node's ranges, the primary one first; none before they were set."""
        state = self._state
        if state is None:
            return ()
        pairs = [(state.cluster or state.range, state.range), *state.further]
        return tuple(NodeRange(ip_network(cluster), ip_network(own)) for cluster, own in pairs)

    def set_ranges(self, ranges: Sequence[NodeRange]) -> None:
        """Begin with these; where the primary one is another than before, what was given out is forgotten."""
        if self.ranges == tuple(ranges):
            return
        (whole, own), *further = [(str(each.cluster), str(each.own)) for each in ranges]
        if self._state is None or self._state.range != own:
            self._state = _State(own, sysctls=self._state.sysctls if self._state else {})
        self._state.cluster, self._state.further = whole, further
        self._save()

    def narrow(self, network: Network) -> bool:
        """Keep only `network` of the primary range, which begins with it; say whether all that is given out lies in it.

        If not, nothing changes: addresses of running Pods are not taken away.
        """
        state, primary = self._state, self.ranges[0]
        assert state is not None
        assert network.network_address == primary.own.network_address
        size = network.num_addresses
        if any(place >= size - 1 for place in state.addresses.values()):
            return False
        state.range, state.cluster, state.cursor = str(network), str(primary.cluster), state.cursor % size
        self._save()
        return True

    def held(self) -> Mapping[str, Sequence[Address]]:
        """Return the addresses given out, by Pod uid, those of the primary family first."""
        if self._state is None:
            return {}
        bases = self._bases()
        return {uid: [base + place for base in bases] for uid, place in self._state.addresses.items()}

    def _bases(self) -> Sequence[Address]:
        return [each.own.network_address for each in self.ranges]

    def allocate(self, uid: str) -> Sequence[Address]:
        """Return the Pod's addresses, the same ones whenever it asks."""
        state = self._state
        if state is None:
            raise RuntimeError("no range was set")
        place = state.addresses.get(uid)
        if place is None:
            network = ip_network(state.range)
            taken = set(state.addresses.values())
            size = network.num_addresses
            for step in range(1, size):
                # The network's own address, the node's and the last are nobody's.
                place = (state.cursor + step) % size
                if place >= 2 and place != size - 1 and place not in taken:
                    break
            else:
                raise RangeFull(f"all addresses of {network} are given out")
            state.addresses[uid] = state.cursor = place
            self._add(uid, place)
        return [base + place for base in self._bases()]

    def release(self, uid: str) -> None:
        """Take a Pod's addresses back."""
        if self._state is not None and self._state.addresses.pop(uid, None) is not None:
            self._add(uid, None)

    @property
    def sysctls(self) -> Mapping[str, str]:
        """What an older Podling found before it changed it; by now that is remembered for the whole machine."""
        return self._state.sysctls if self._state is not None else {}

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(self._path, msgspec.json.encode(self._state))
        self._changes = 0

    def _add(self, uid: str, place: int | None) -> None:
        """Put down one change; `place` is `None` where the address is taken back."""
        if self._changes >= _MOST_CHANGES or not self._path.exists():
            self._save()
            return
        line = b"\n" + msgspec.json.encode((uid, place)) + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        finally:
            os.close(descriptor)
        self._changes += 1
