"""Pods and workloads as the tables of plans need them."""

from __future__ import annotations

from typing import Any

from podling.api.codec import from_tree
from podling.api.times import to_wire
from podling.api.types.apps_v1 import ReplicaSet
from podling.api.types.core_v1 import Pod, ReplicationController

NOW = 1_700_000_000.0
LABELS = {"app": "web"}


def made_pod(
    name: str,
    *,
    node: str = "n",
    phase: str = "Running",
    ready: float | None = 100,
    age: float = 100,
    cost: str = "",
    restarts: int = 0,
    sidecar_restarts: int = 0,
    labels: dict[str, str] | None = None,
    owner: str = "",
    going: bool = False,
) -> Pod:
    """`ready` and `age` are seconds before `NOW`; the uid is the name."""
    meta: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": name,
        "labels": LABELS if labels is None else labels,
        "creationTimestamp": to_wire(NOW - age),
    }
    if cost:
        meta["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        meta["ownerReferences"] = [reference]
    if going:
        meta["deletionTimestamp"] = to_wire(NOW)
    conditions = [{"type": "Ready", "status": "False"}]
    if ready is not None:
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": to_wire(NOW - ready)}]
    status = {
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": [{"name": "c", "ready": True, "restartCount": restarts, "image": "", "imageID": ""}],
        "initContainerStatuses": [
            {"name": "s", "ready": True, "restartCount": sidecar_restarts, "image": "", "imageID": ""}
        ],
    }
    spec = {
        "nodeName": node,
        "containers": [{"name": "c"}],
        "initContainers": [{"name": "s", "restartPolicy": "Always"}],
    }
    return from_tree(Pod, {"metadata": meta, "spec": spec, "status": status})


def made_set(
    replicas: int = 3, *, generation: int = 2, status: dict[str, Any] | None = None, **spec: Any
) -> ReplicaSet:
    return from_tree(ReplicaSet, _tree(replicas, generation, status, {"matchLabels": LABELS}, spec))


def made_controller(
    replicas: int = 3, *, generation: int = 2, status: dict[str, Any] | None = None
) -> ReplicationController:
    return from_tree(ReplicationController, _tree(replicas, generation, status, LABELS, {}))


def _tree(
    replicas: int, generation: int, status: dict[str, Any] | None, selector: dict[str, Any], spec: dict[str, Any]
) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "default", "uid": "u", "generation": generation}
    template = {"metadata": {"labels": {**LABELS, "more": "x"}}, "spec": {"containers": []}}
    whole = {"replicas": replicas, "selector": selector, "template": template, **spec}
    return {"metadata": meta, "spec": whole, "status": {"replicas": 0} if status is None else status}
