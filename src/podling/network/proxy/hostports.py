"""Ports of the node that Pods asked for (`hostPort`), in force from before a Pod's first process until its link goes.

Owns what was asked, in a file beside the addresses, so that a new life of Podling lays the rules down with all others.
The rules are the proxy's: a host port is a node port with one endpoint. Invariants: it is on disk before it is in
force; what no wired Pod has asked for is in force nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.pods import HostPort  # noqa: TC001  # msgspec decodes it
from podling.api.validation.addresses import family as version_of
from podling.lifecycle.traffic import UNBOUNDED
from podling.linux import files
from podling.linux.families import FAMILIES
from podling.network.protocols import PROTOCOLS
from podling.network.proxy import chains as ch
from podling.network.proxy import sets
from podling.network.proxy.rules import NOTHING, Elements, Remembered, ServiceRules
from podling.network.proxy.sets import PORTLESS, any_address, frontend_key, is_any, packed, target_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from podling.client.seams import PodNetwork
    from podling.lifecycle.traffic import Traffic
    from podling.linux.families import Family
    from podling.network.proxy.proxy import Proxy


class _Asked(msgspec.Struct):
    address: str
    """The Pod's of the primary family: as long as it has that one, it is the Pod that asked."""
    ports: tuple[HostPort, ...]


def plan(family: Family, address: str, ports: Sequence[HostPort]) -> ServiceRules:
    """Return what the host ports of a Pod at `address` are in the rules of a family.

    A `hostIP` of the other family asks for nothing in this one; an unspecified one (0.0.0.0, ::) for all addresses of
    its own family, and none at all for those of both. So upstream has it.
    """
    elements: Elements = {}
    remembered: dict[bytes, Remembered] = {}
    for port in ports:
        if port.address and version_of(port.address) != family.version:
            continue
        wanted = packed(port.address) if port.address else any_address(family)
        if wanted == PORTLESS:
            continue
        target = target_value(packed(address), port.container_port)
        protocol = PROTOCOLS[port.protocol or "TCP"]
        key = frontend_key(wanted, protocol, port.host_port)
        elements[sets.SERVICES, key] = ch.HostPort(ch.Spread(1, any_address=is_any(wanted)))
        elements[sets.ENDPOINTS, key + bytes(4)] = target
        elements[sets.HAIRPINS, 2 * packed(address)] = None
        if protocol == PROTOCOLS["UDP"]:
            remembered[key] = Remembered(key, frozenset((target,)), sticky=False)
    return ServiceRules(elements, {}, remembered) if elements else NOTHING


class HostPorts:
    """`PodNetwork` by another one, with host ports."""

    def __init__(self, pods: PodNetwork, proxy: Proxy, data: Path) -> None:
        self._pods = pods
        self._proxy = proxy
        self._path = data / "network" / "hostports.json"
        self._asked: dict[str, _Asked] = {}
        self._addresses: dict[str, Sequence[str]] = {}
        """What leads to Pods by now, of each family that they have."""

    async def start(self) -> None:
        """Tell the proxy, which has not started yet, of the Pods that are wired already."""
        if not self._path.exists():
            return
        found = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Asked])
        wired = await self._pods.attached()
        for uid, asked in found.items():
            if asked.address in wired.get(uid, ()):
                self._asked[uid] = asked
                self._forward(uid, wired[uid])

    def _forward(self, uid: str, addresses: Sequence[str]) -> None:
        ports = self._asked[uid].ports
        self._addresses[uid] = addresses
        by_family = [(family, each) for family in FAMILIES for each in addresses if version_of(each) == family.version]
        self._proxy.forward(uid, {family: plan(family, address, ports) for family, address in by_family})

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        addresses = await self._pods.attach(uid, namespace, name, netns, traffic)
        asked = _Asked(addresses[0], traffic.ports)
        if traffic.ports and (self._asked.get(uid), self._addresses.get(uid)) != (asked, addresses):
            self._asked[uid] = asked
            self._save()
            self._forward(uid, addresses)
            await self._proxy.caught_up(uid)
        return addresses

    async def detach(self, uid: str) -> None:
        if self._asked.pop(uid, None) is not None:
            del self._addresses[uid]
            # Before its address is free for another Pod.
            self._proxy.forward(uid, {})
            await self._proxy.caught_up(uid)
            self._save()
        await self._pods.detach(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return await self._pods.attached()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(self._path, msgspec.json.encode(self._asked))
