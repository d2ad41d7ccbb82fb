"""Who has which Pod address: allocated once, remembered, released.

Owns `<data>/network/addresses.json`: a line of JSON with all that is known, and behind it a line for each address given
out or taken back since. Adding a line costs the loop 0.02 ms; replacing the file, as for all else, 0.3 ms and more the
more Pods there are. Invariants: an address belongs to one Pod; it is on disk before it is given out; a released address
is used again as late as possible, so that what remembers it reaches nobody rather than somebody else.
"""

from __future__ import annotations

import errno
import os
from ipaddress import ip_network
from typing import TYPE_CHECKING

import msgspec

from podling.client.seams import WiringFailed
from podling.linux import files

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    """The node's."""
    addresses: dict[str, int] = {}
    """Pod uid to its address's place in the range."""
    cursor: int = 1
    sysctls: dict[str, str] = {}
    """What was found before it was changed."""
    version: int = 1
    cluster: str = ""
    """All nodes'; empty where an older Podling gave its one node the whole of it."""


class RangeFull(WiringFailed):
    """Every address of the range is given out."""


class Addresses:
    """The range and what is given out of it. Not for several threads at once."""

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
    def range(self) -> Network | None:
        """The node's range, once one was set."""
        return ip_network(self._state.range) if self._state is not None else None

    @property
    def cluster(self) -> Network | None:
        """The range that the nodes' ranges are parts of, once one was set."""
        return ip_network(self._state.cluster or self._state.range) if self._state is not None else None

    @property
    def gateway(self) -> Address:
        """The node's own address in the range: its first."""
        return self._known().network_address + 1

    def _known(self) -> Network:
        if self._state is None:
            raise RuntimeError("no range was set")
        return ip_network(self._state.range)

    def set_range(self, network: Network, cluster: Network | None = None) -> None:
        """Begin with a range, a part of the `cluster`'s; what was given out of another is forgotten."""
        whole = str(cluster or network)
        if self._state is None or self._state.range != str(network):
            self._state = _State(str(network), sysctls=self._state.sysctls if self._state else {}, cluster=whole)
            self._save()
        elif self._state.cluster != whole:
            self._state.cluster = whole
            self._save()

    def narrow(self, network: Network) -> bool:
        """Keep only `network`, which the range begins with; say whether all that is given out lies in it.

        If not, nothing changes: addresses of running Pods are not taken away.
        """
        state, known = self._state, self._known()
        assert state is not None
        assert network.network_address == known.network_address
        size = network.num_addresses
        if any(place >= size - 1 for place in state.addresses.values()):
            return False
        state.range, state.cluster, state.cursor = str(network), state.cluster or str(known), state.cursor % size
        self._save()
        return True

    def held(self) -> Mapping[str, Address]:
        """Return the addresses given out, by Pod uid."""
        if self._state is None:
            return {}
        base = self._known().network_address
        return {uid: base + place for uid, place in self._state.addresses.items()}

    def allocate(self, uid: str) -> Address:
        """Return the Pod's address, the same one whenever it asks."""
        network = self._known()
        state = self._state
        assert state is not None
        place = state.addresses.get(uid)
        if place is None:
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
        return network.network_address + place

    def release(self, uid: str) -> None:
        """Take a Pod's address back."""
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
