"""Whether a node takes a Pod at all, beside the question of room.

Owns the checks that concern the Pod and the node's kind alone: operating system, features the node cannot give. What
concerns room (resources, ports, selectors, taints) is `placement`'s, and the kubelet asks it there. Knows no other Pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.lifecycle.facts import Rejection

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Node, Pod


def admit(pod: Pod, node: Node) -> Rejection | None:
    """Return why `node` refuses the Pod, or `None` if nothing about the Pod itself stands against it."""
    info = node.status.node_info
    if pod.spec.os is not None and info is not None and pod.spec.os.name != info.operating_system:
        return Rejection(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        )
    return None
