"""Writes into each aggregating ClusterRole the rules that it gathers, for who reads it.

What may be done never waits for this: the RBAC index gathers by itself. It stands here and not among the controllers
because that index is here, and nobody else need keep a second one. Level: after any change of a ClusterRole, those
whose rules are not what they gather are written, all that wait together at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from podling.api.errors import StatusError
from podling.api.resources import CLUSTER_ROLES
from podling.apiserver.objects import tree_of
from podling.apiserver.paths import Target
from podling.apiserver.record import User
from podling.apiserver.verbs import updating

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Notice
    from podling.apiserver.identity.rbac import Rbac
    from podling.apiserver.registry import Registry

_USER = User(
    "system:serviceaccount:kube-system:clusterrole-aggregation-controller",
    ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated", "system:masters"),
)


class RoleAggregation:
    """Upstream's controller of that name; `run` is a component of the supervisor."""

    def __init__(self, registry: Registry, rbac: Rbac) -> None:
        """`rbac` must have been told of a change before this is: it listens first."""
        self._registry = registry
        self._rbac = rbac
        self._changed = asyncio.Event()
        registry.cache.listen(registry.record(CLUSTER_ROLES).key_prefix, self._note)

    def _note(self, _notice: Notice) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Write for ever what has come to differ."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for name in self._rbac.outdated():
                await self._write(name)

    async def _write(self, name: str) -> None:
        def change(current: Encoded) -> dict[str, Any]:
            tree = tree_of(current)
            rules = self._rbac.aggregated(name)
            if rules is not None:
                tree["rules"] = [rule.to_tree() for rule in rules]
            return tree

        target = Target(self._registry.record(CLUSTER_ROLES), "", name)
        try:
            await updating.apply_change(self._registry, target, _USER, change, [], dry_run=False)
        except StatusError as refusal:
            # It went, or somebody else wrote it: either is a change, after which it is looked at again.
            if not (refusal.is_not_found or refusal.is_conflict):
                raise
