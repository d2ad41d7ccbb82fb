"""A node's body: everything through which its kubelet does something there, or learns something of it.

Owns the line between kinds of nodes: a real node and a simulated one differ in this and in their settings, and in
nothing else. What a kubelet knows of the cluster is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.client.seams import PodNetwork
    from podling.kubelet.machine import Machine
    from podling.kubelet.probes.wire import Wire
    from podling.kubelet.resources import NodeCgroups
    from podling.kubelet.stats import Stats
    from podling.runtime.protocol import Runtime


@dataclass(frozen=True, slots=True)
class Body:
    """What one node is made of."""

    machine: Machine
    """What it is and has."""
    runtime: Runtime
    """What its containers live by."""
    network: PodNetwork
    """What wires its Pods."""
    wire: Wire
    """How probes and hooks reach the ports of its containers."""
    stats: Stats | None = None
    """What measures its use; without it, what the runtime says of its containers counts."""
    cgroups: NodeCgroups | None = None
    """What holds all Pods together to their part of the machine; nothing does on a simulated node."""
