"""Owns how Pods, their templates and Nodes are shown in tables: upstream's columns and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.apiserver.tables.columns import AGE, NAME, NONE, UNKNOWN, Column, Layout, age
from podling.lifecycle.display import display, readiness_gates_text

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Node, Pod, PodTemplate

_ROLE_PREFIX: Final = "node-role.kubernetes.io/"
_ENDED: Final = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


def _pod(pod: Pod, now: float) -> list[Any]:
    line = display(pod)
    return [
        pod.metadata.name,
        f"{line.ready}/{line.total}",
        line.status,
        line.restarts_text(now),
        age(pod.metadata.creation_timestamp, now),
        (pod.status.pod_ips[0].ip if pod.status.pod_ips else "") or NONE,
        pod.spec.node_name or NONE,
        pod.status.nominated_node_name or NONE,
        readiness_gates_text(pod),
    ]


def _pod_conditions(pod: Pod) -> list[dict[str, str]]:
    message = _ENDED.get(pod.status.phase)
    if message is None:
        return []
    return [{"type": "Completed", "status": "True", "reason": pod.status.phase, "message": message}]


PODS: Final = Layout(
    (
        NAME,
        Column("Ready", "The aggregate readiness state of this pod for accepting traffic."),
        Column("Status", "The aggregate status of the containers in this pod."),
        Column(
            "Restarts",
            "The number of times the containers in this pod have been restarted and when the last container in this "
            "pod has restarted.",
        ),
        AGE,
        Column(
            "IP",
            "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
            1,
        ),
        Column("Node", "NodeName indicates in which node this pod is scheduled.", 1),
        Column(
            "Nominated Node",
            "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled "
            "right away as preemption victims receive their graceful termination periods.",
            1,
        ),
        Column(
            "Readiness Gates",
            "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its "
            'containers are ready AND all conditions specified in the readiness gates have status equal to "True"',
            1,
        ),
    ),
    _pod,
    _pod_conditions,
)


def _node(node: Node, now: float) -> list[Any]:
    ready = [c for c in node.status.conditions if c.type == "Ready"]
    words = ["Ready" if c.status == "True" else "NotReady" for c in ready] or ["Unknown"]
    if node.spec.unschedulable:
        words.append("SchedulingDisabled")
    info = node.status.node_info
    return [
        node.metadata.name,
        ",".join(words),
        ",".join(_roles(node.metadata.labels)) or NONE,
        age(node.metadata.creation_timestamp, now),
        info.kubelet_version if info is not None else "",
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        (info.os_image if info is not None else "") or UNKNOWN,
        (info.kernel_version if info is not None else "") or UNKNOWN,
        (info.container_runtime_version if info is not None else "") or UNKNOWN,
    ]


def _roles(labels: dict[str, str]) -> list[str]:
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get("kubernetes.io/role", ""))
    return sorted(role for role in roles if role)


def _address(node: Node, kind: str) -> str:
    return next((a.address for a in node.status.addresses if a.type == kind), NONE)


NODES: Final = Layout(
    (
        NAME,
        Column("Status", "The status of the node"),
        Column("Roles", "The roles of the node"),
        AGE,
        Column("Version", "Kubelet Version reported by the node."),
        Column(
            "Internal-IP",
            "List of addresses reachable to the node. Queried from cloud provider, if available.",
            1,
        ),
        Column(
            "External-IP",
            "List of addresses reachable to the node. Queried from cloud provider, if available.",
            1,
        ),
        Column("OS-Image", "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 12).", 1),
        Column("Kernel-Version", "Kernel Version reported by the node from 'uname -r' (e.g. 6.1.0-40-amd64).", 1),
        Column("Container-Runtime", "ContainerRuntime Version reported by the node.", 1),
    ),
    _node,
)


def _template(template: PodTemplate, _now: float) -> list[Any]:
    inner = template.template
    containers = inner.spec.containers if inner is not None and inner.spec is not None else ()
    labels = inner.metadata.labels if inner is not None else {}
    return [
        template.metadata.name,
        ",".join(container.name for container in containers),
        ",".join(container.image for container in containers),
        ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE,
    ]


POD_TEMPLATES: Final = Layout(
    (
        NAME,
        Column("Containers", "Names of each container in the template."),
        Column("Images", "Images referenced by each container in the template."),
        Column("Pod Labels", "The labels for the pod template."),
    ),
    _template,
)
