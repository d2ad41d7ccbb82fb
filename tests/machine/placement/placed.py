"""Pods and Nodes in few words, for the tables of this folder."""

from __future__ import annotations

from typing import Any

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Node, Pod
from podling.placement.nodes import NodeInfo
from podling.placement.pods import PendingPod

GIVEN = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"}


def pod_of(name: str = "web", *, requests: dict[str, str] | None = None, priority: int = 0, **spec: Any) -> PendingPod:
    spec.setdefault("containers", [{"name": "c", "image": "web", "resources": {"requests": requests or {}}}])
    tree = {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"}, "spec": spec}
    tree["spec"]["priority"] = priority
    return PendingPod(from_tree(Pod, tree))


def node_of(
    name: str = "n1",
    *,
    labels: dict[str, str] | None = None,
    given: dict[str, str] | None = None,
    images: dict[str, int] | None = None,
    pods: tuple[PendingPod, ...] = (),
    **spec: Any,
) -> NodeInfo:
    tree = {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {
            "allocatable": GIVEN | (given or {}),
            "images": [{"names": [k], "sizeBytes": v} for k, v in (images or {}).items()],
        },
    }
    info = NodeInfo(from_tree(Node, tree))
    for pod in pods:
        info.add(pod)
    return info
