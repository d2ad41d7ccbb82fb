"""CertificateSigningRequests: who asked is written down, and each writer touches its own part.

`approval` decides, `status` answers; both date what they add. The request itself never changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api import times
from podling.apiserver.kinds.strategy import Plain, keep

if TYPE_CHECKING:
    from podling.apiserver.record import Context

_WHO: Final = ("username", "uid", "groups", "extra")
_DECISIONS: Final = ("Approved", "Denied")


class RequestStrategy(Plain):
    """Upstream's strategies of requests, of their approval and of their status."""

    def __init__(self) -> None:
        super().__init__(status=True, blank={})

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        spec, user = tree.setdefault("spec", {}), context.user
        told = (user.name, user.uid, list(user.groups), {key: list(values) for key, values in user.extra.items()})
        for key, value in zip(_WHO, told, strict=True):
            spec.pop(key, None)
            if value:
                spec[key] = value

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        super().prepare_update(tree, old, context)
        keep(tree, old, "spec")

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        super().prepare_subresource(subresource, tree, old, context)
        before = old.get("status") or {}
        status = tree.get("status") or {}
        conditions = [dict(condition) for condition in status.get("conditions") or ()]
        if subresource == "status":
            for decision in _DECISIONS:
                conditions = _preserved(conditions, before.get("conditions") or (), decision)
        else:
            status = dict(before)
        now = times.to_wire(context.now)
        for condition in conditions:
            _date(condition, before.get("conditions") or (), now)
        status.pop("conditions", None)
        tree["status"] = status | ({"conditions": conditions} if conditions else {})


def _preserved(conditions: list[dict[str, Any]], before: Any, kind: str) -> list[dict[str, Any]]:
    """Return conditions with those of one kind as they were, unless some were added or taken away."""
    held = [condition for condition in before if condition.get("type") == kind]
    if len(held) != len([condition for condition in conditions if condition.get("type") == kind]):
        return conditions
    rest = iter(held)
    return [dict(next(rest)) if condition.get("type") == kind else condition for condition in conditions]


def _date(condition: dict[str, Any], before: Any, now: str) -> None:
    """Say when a condition was written, and since when it is what it is, where its writer did not."""
    if not condition.get("lastUpdateTime"):
        condition["lastUpdateTime"] = now
    if not condition.get("lastTransitionTime"):
        same = (condition.get("type"), condition.get("status"))
        since = [c.get("lastTransitionTime") for c in before if (c.get("type"), c.get("status")) == same]
        condition["lastTransitionTime"] = next((time for time in since if time), now)
