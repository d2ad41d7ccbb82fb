"""Ports of the node that Pods asked for (`hostPort`), in force from before a Pod's first process until its link goes.

Owns what was asked, in a file beside the addresses, so that a new life of Podling lays the rules down with all others.
The rules are the proxy's: a host port is a node port with one endpoint. Invariants: it is on disk before it is in
force; what no wired Pod has asked for is in force nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.pods import HostPort  # noqa: TC001  # msgspec decodes it
from podling.lifecycle.traffic import UNBOUNDED
from podling.linux import files
from podling.network.protocols import PROTOCOLS
from podling.network.proxy import chains as ch
from podling.network.proxy.rules import (
    NOTHING,
    Elements,
    Remembered,
    ServiceRules,
    frontend_key,
    target_value,
)
from podling.reach.selection import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from podling.client.seams import PodNetwork
    from podling.lifecycle.traffic import Traffic
    from podling.network.proxy.proxy import Proxy


class _Asked(msgspec.Struct):
    address: str
    ports: tuple[HostPort, ...]


def plan(address: str, ports: Sequence[HostPort]) -> ServiceRules:
    """Return what the host ports of a Pod at `address` are in the rules."""
    elements: Elements = {}
    remembered: dict[bytes, Remembered] = {}
    for port in ports:
        anywhere = port.address in ("", "0.0.0.0")  # noqa: S104  # upstream's word for every address of the node
        if ":" in port.address:
            continue  # of a family that Pods have not
        target = Target(address, port.container_port, is_local=True)
        protocol = PROTOCOLS[port.protocol or "TCP"]
        key = frontend_key("" if anywhere else port.address, protocol, port.host_port)
        elements[ch.SERVICES.name, key] = ch.HostPort(ch.Spread(1, any_address=anywhere))
        elements[ch.ENDPOINTS.name, key + bytes(4)] = target_value(target)
        elements[ch.HAIRPINS.name, 2 * target_value(target)[:4]] = None
        if protocol == PROTOCOLS["UDP"]:
            remembered[key] = Remembered(key, frozenset((target_value(target),)), sticky=False)
    return ServiceRules(elements, {}, remembered) if elements else NOTHING


class HostPorts:
    """`PodNetwork` by another one, with host ports."""

    def __init__(self, pods: PodNetwork, proxy: Proxy, data: Path) -> None:
        self._pods = pods
        self._proxy = proxy
        self._path = data / "network" / "hostports.json"
        self._asked: dict[str, _Asked] = {}

    async def start(self) -> None:
        """Tell the proxy, which has not started yet, of the Pods that are wired already."""
        if not self._path.exists():
            return
        found = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Asked])
        wired = await self._pods.attached()
        self._asked = {uid: asked for uid, asked in found.items() if asked.address in wired.get(uid, ())}
        for uid, asked in self._asked.items():
            self._proxy.forward(uid, plan(asked.address, asked.ports))

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        addresses = await self._pods.attach(uid, namespace, name, netns, traffic)
        asked = _Asked(addresses[0], traffic.ports)
        if traffic.ports and self._asked.get(uid) != asked:
            self._asked[uid] = asked
            self._save()
            self._proxy.forward(uid, plan(asked.address, asked.ports))
            await self._proxy.caught_up(uid)
        return addresses

    async def detach(self, uid: str) -> None:
        if self._asked.pop(uid, None) is not None:
            # Before its address is free for another Pod.
            self._proxy.forward(uid, NOTHING)
            await self._proxy.caught_up(uid)
            self._save()
        await self._pods.detach(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return await self._pods.attached()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(self._path, msgspec.json.encode(self._asked))
