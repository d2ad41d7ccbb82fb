"""PersistentVolumes and claims: what their creation sets, and when a volume last changed its phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api import times
from podling.apiserver.kinds.strategy import Plain

if TYPE_CHECKING:
    from podling.apiserver.record import Context

_SINCE = "lastPhaseTransitionTime"


class VolumeStrategy(Plain):
    """A volume is Pending until the binder has looked at it; a change of its phase is dated."""

    def __init__(self) -> None:
        super().__init__(status=True)

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        tree["status"] = {"phase": "Pending", _SINCE: times.to_wire(context.now)}

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        super().prepare_subresource(subresource, tree, old, context)
        status, before = tree.setdefault("status", {}), old.get("status") or {}
        if status.get("phase") == before.get("phase"):
            if not status.get(_SINCE) and before.get(_SINCE):
                status[_SINCE] = before[_SINCE]
        elif not status.get(_SINCE) or status.get(_SINCE) == before.get(_SINCE):
            status[_SINCE] = times.to_wire(context.now)


class ClaimStrategy(Plain):
    """A claim is Pending when it is made; its data source is named twice, as older and newer clients read it."""

    def __init__(self) -> None:
        super().__init__(status=True)

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        tree["status"] = {"phase": "Pending"}
        spec = tree.setdefault("spec", {})
        source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
        if source and not reference:
            spec["dataSourceRef"] = dict(source)
        elif reference and not source and not reference.get("namespace"):
            spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}
