"""Events: two faces of one stored kind, core/v1 and events.k8s.io/v1."""

from __future__ import annotations

from typing import Any

_SAME = ("metadata", "action", "eventTime", "reason", "related", "reportingInstance", "series", "type")
_RENAMED = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
)


class EventFace:
    """events.k8s.io/v1 over core events: other names for the same members."""

    def to_stored(self, tree: dict[str, Any]) -> dict[str, Any]:
        stored = {key: tree[key] for key in _SAME if key in tree}
        for name, core in _RENAMED:
            if name in tree:
                stored[core] = tree[name]
        stored.setdefault("involvedObject", {})
        return {"kind": "Event", "apiVersion": "v1", **stored}

    def from_stored(self, tree: dict[str, Any]) -> dict[str, Any]:
        shown = {key: tree[key] for key in _SAME if key in tree}
        for name, core in _RENAMED:
            if core in tree:
                shown[name] = tree[core]
        shown.setdefault("eventTime", None)
        return {"kind": "Event", "apiVersion": "events.k8s.io/v1", **shown}


_OBJECT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

CORE_FIELDS: dict[str, tuple[str, ...]] = {
    **{f"involvedObject.{part}": ("involvedObject", part) for part in _OBJECT},
    "reason": ("reason",),
    "reportingComponent": ("reportingComponent",),
    "source": ("source", "component"),
    "type": ("type",),
}

FACE_FIELDS: dict[str, str] = {
    **{f"regarding.{part}": f"involvedObject.{part}" for part in _OBJECT},
    "reason": "reason",
    "reportingController": "reportingComponent",
    "type": "type",
}
"""The selectable fields of events.k8s.io and what they are called on the stored kind."""
