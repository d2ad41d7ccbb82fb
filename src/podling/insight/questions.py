"""What would be possible: questions about the cluster as it is now, asked of the API and answered by `reach`.

Owns the gathering. Nothing is kept between two questions: who asks seldom shall not pay for it always.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from podling.api.resources import ENDPOINT_SLICES, NAMESPACES, NETWORK_POLICIES, NODES, PODS, SERVICES
from podling.reach.reachable import reachable
from podling.reach.snapshot import Snapshot, parse_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.client.client import Client
    from podling.reach.policy import Party
    from podling.reach.reachable import Answer


class Questions:
    """Answers about one cluster, by what `client` may read."""

    def __init__(self, client: Client, first_node: str = "", stand_ins: Sequence[Party] = ()) -> None:
        """`first_node` is where callers from outside come in; `stand_ins` count as Pods though they are none."""
        self._client = client
        self._first = first_node
        self._stand_ins = stand_ins

    async def reachable(self, caller: str, callee: str, protocol: str = "TCP") -> Answer:
        """Return whether `caller` may reach `callee`; `ValueError` says how they are to be named."""
        begins, ends = parse_end(caller, is_callee=False), parse_end(callee, is_callee=True)
        pods, nodes, services, slices, policies, namespaces = await asyncio.gather(
            self._client.list(PODS),
            self._client.list(NODES),
            self._client.list(SERVICES),
            self._client.list(ENDPOINT_SLICES),
            self._client.list(NETWORK_POLICIES),
            self._client.list(NAMESPACES),
        )
        snapshot = Snapshot(
            pods.items,
            nodes.items,
            services.items,
            slices.items,
            policies.items,
            namespaces.items,
            self._first,
            self._stand_ins,
        )
        return reachable(snapshot, begins, ends, protocol)
