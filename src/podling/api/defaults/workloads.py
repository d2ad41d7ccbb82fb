"""Defaults of the kinds that keep a number of Pods made from one template.

The template's own defaults are `pod`'s.
"""

from __future__ import annotations

from typing import Any

from podling.api.defaults.pod import apply_pod_template
from podling.api.defaults.quantities import canonicalize
from podling.api.defaults.volumes import apply_claim_spec

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


def apply_stateful_set(tree: _Tree) -> None:
    """Make Pods one after the other, roll them one by one, and keep their claims whatever comes."""
    spec = _spec(tree)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = _rolling(spec)
    if strategy["type"] == "RollingUpdate":
        _fill(strategy, "rollingUpdate", partition=0, maxUnavailable=1)
    _fill(spec, "persistentVolumeClaimRetentionPolicy", whenDeleted="Retain", whenScaled="Retain")
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    for claim in spec.get("volumeClaimTemplates") or ():
        apply_claim(claim)
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"


def apply_daemon_set(tree: _Tree) -> None:
    """Roll Node by Node, none beside the old Pod, and keep ten revisions."""
    spec = _template(tree)
    strategy = _rolling(spec)
    if strategy["type"] == "RollingUpdate":
        _fill(strategy, "rollingUpdate", maxUnavailable=1, maxSurge=0)
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10


def apply_claim(tree: _Tree) -> None:
    """Complete a PersistentVolumeClaim, one by itself or one that a StatefulSet makes others from."""
    apply_claim_spec(tree.setdefault("spec", {}))
    status = tree.get("status")
    if status is None:
        status = tree["status"] = {}
    for amounts in ("capacity", "allocatedResources"):
        if status.get(amounts):
            canonicalize(status[amounts])
    if not status.get("phase"):
        status["phase"] = "Pending"


def _rolling(spec: _Tree) -> _Tree:
    strategy: _Tree | None = spec.get("updateStrategy")
    if strategy is None:
        strategy = spec["updateStrategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    return strategy


def _fill(tree: _Tree, part: str, **values: object) -> None:
    found: _Tree | None = tree.get(part)
    if found is None:
        found = tree[part] = {}
    for name, value in values.items():
        if found.get(name) in {None, ""}:
            found[name] = value


def _spec(tree: _Tree) -> _Tree:
    """Fill in what is wanted in a number: one replica, and the template."""
    spec = _template(tree)
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    return spec


def _template(tree: _Tree) -> _Tree:
    spec: _Tree | None = tree.get("spec")
    if spec is None:
        spec = tree["spec"] = {}
    if spec.get("template") is not None:
        apply_pod_template(spec["template"])
    return spec
