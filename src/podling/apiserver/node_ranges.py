"""The ranges of a Node that is there already: changed by this server's owner, where nobody who calls may.

A caller can set podCIDRs once, as upstream has it. But a cluster that is given a second address family, or another
range because somebody took the first, has other ranges at its next start, and its Node is still that node: deleted and
made anew, it would be gone for a moment to whoever watches, and for good to whoever is killed in between. Owns that one
write. Invariant: of the Node nothing else changes, and whoever watches sees it changed, never absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.errors import conflict
from podling.api.resources import NODES
from podling.apiserver.verbs import writing
from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.apiserver.registry import Registry


async def set_node_ranges(registry: Registry, name: str, ranges: Sequence[str]) -> None:
    """Let a Node's Pods have their addresses in `ranges`, one of each family; an absent Node stays absent."""
    record = registry.record(NODES)
    key = record.key("", name)
    for _ in range(writing.ATTEMPTS):
        current = registry.shelf(record).get(key)
        if current is None:
            return
        tree: dict[str, Any] = msgspec.json.decode(current.raw)
        spec = tree.setdefault("spec", {})
        if spec.get("podCIDRs") == list(ranges):
            return
        spec.update(podCIDR=ranges[0], podCIDRs=list(ranges))
        try:
            await registry.put(record, key, tree, current.revision)
        except Mismatch as mismatch:
            if mismatch.current is not None:
                await registry.cache.reached(mismatch.current.revision)
        else:
            return
    raise conflict("", "nodes", name)
