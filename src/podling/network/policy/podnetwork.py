"""A Pod network whose Pods are under policies from their first packet on.

Owns nothing: it puts the two in order. Invariants: `attach` returns when the Pod's isolation, and its part in others'
rules, is in force; a Pod is isolated for as long as it has a link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.lifecycle.traffic import UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.client.seams import PodNetwork
    from podling.lifecycle.traffic import Traffic
    from podling.network.policy.enforcer import PolicyEnforcer


class PoliciedPodNetwork:
    """`PodNetwork` by another one, with policies."""

    def __init__(self, pods: PodNetwork, policies: PolicyEnforcer) -> None:
        self._pods = pods
        self._policies = policies

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        addresses = await self._pods.attach(uid, namespace, name, netns, traffic)
        # Nothing of the Pod runs before this returns: what is in force now is so before its first packet.
        await self._policies.attach(uid, namespace, name, addresses)
        return addresses

    async def detach(self, uid: str) -> None:
        await self._pods.detach(uid)
        await self._policies.detach(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return await self._pods.attached()
