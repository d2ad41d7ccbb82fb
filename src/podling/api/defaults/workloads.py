"""Defaults of the kinds that keep a number of Pods made from one template.

The template's own defaults are `pod`'s.
"""

from __future__ import annotations

from typing import Any

from podling.api.defaults.pod import apply_pod_template

_Tree = dict[str, Any]


def apply_replica_set(tree: _Tree) -> None:
    _spec(tree)


def apply_replication_controller(tree: _Tree) -> None:
    """Let the template's labels be the selector, and the controller's own labels, where it has none."""
    spec = _spec(tree)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if not labels:
        return
    if not spec.get("selector"):
        spec["selector"] = dict(labels)
    metadata = tree.setdefault("metadata", {})
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def apply_deployment(tree: _Tree) -> None:
    """Let a quarter of the Pods be more or fewer than wanted, keep ten revisions, and give up after ten minutes."""
    spec = _spec(tree)
    strategy = spec.get("strategy")
    if strategy is None:
        strategy = spec["strategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling: _Tree | None = strategy.get("rollingUpdate")
        if rolling is None:
            rolling = strategy["rollingUpdate"] = {}
        for name in ("maxUnavailable", "maxSurge"):
            if rolling.get(name) is None:
                rolling[name] = "25%"
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    if spec.get("progressDeadlineSeconds") is None:
        spec["progressDeadlineSeconds"] = 600


def _spec(tree: _Tree) -> _Tree:
    """Fill in what all of them have: one replica, and the template."""
    spec: _Tree | None = tree.get("spec")
    if spec is None:
        spec = tree["spec"] = {}
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if spec.get("template") is not None:
        apply_pod_template(spec["template"])
    return spec
