"""The Pods of a further node whose addresses its own ranges do not tell: CNI plugins have given them.

Owns that the machine knows the way: for each such address a route over the node's link, and that the link may send from
it. What is in the node's namespace is the plugins'. Invariants: the machine leads there before anything of the Pod
runs, and no more when the plugins are told to take the address back: whoever gets it next may be on another node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.lifecycle.traffic import UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.client.seams import PodNetwork
    from podling.lifecycle.traffic import Traffic
    from podling.network.podnetwork import RoutedPodNetwork


class PodsBehind:
    """`PodNetwork` of the further node `node` by another one, whose Pods' addresses the `machine` is told."""

    def __init__(self, pods: PodNetwork, machine: RoutedPodNetwork, node: str) -> None:
        self._pods = pods
        self._machine = machine
        self._node = node

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        addresses = await self._pods.attach(uid, namespace, name, netns, traffic)
        await self._machine.lead_to(self._node, addresses)
        return addresses

    async def detach(self, uid: str) -> None:
        await self._machine.lead_no_more(self._node, (await self._pods.attached()).get(uid, ()))
        await self._pods.detach(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return await self._pods.attached()
