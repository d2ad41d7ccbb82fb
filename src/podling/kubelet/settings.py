"""What a kubelet is told at its start.

Owns plain values with upstream's defaults. Knows nothing of how they are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from podling.lifecycle.eviction import UPSTREAM_EVICTION, EvictionPolicy
from podling.lifecycle.garbage import UPSTREAM_GARBAGE, GarbagePolicy
from podling.lifecycle.restart import UPSTREAM, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """A kubelet's configuration."""

    root: Path | None = None
    """Where Pods' volumes and files lie (`DIR/pods`); none keeps no files, as with simulated Pods."""
    logs: Path | None = None
    """Where logs lie, one folder for each Pod; `logs/pods` beside `root` unless given."""
    addresses: tuple[str, ...] = ("127.0.0.1",)
    """The node's own, the primary first."""
    port: int = 10250
    """Of the kubelet's server, for `status.daemonEndpoints`; 0 says that there is none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()
    """Key, value, effect: what the node registers with."""
    max_pods: int = 110
    pod_cidrs: tuple[str, ...] = ()
    """The node's ranges of Pod addresses, one for each family, the primary first."""
    cluster_domain: str = "cluster.local"
    cluster_dns: tuple[str, ...] = ()
    cgroup_root: str = "/kubepods"
    status_period: float = 10.0
    """Between looks at the node's own status."""
    report_period: float = 300.0
    """Between reports of an unchanged status."""
    lease_period: float = 10.0
    lease_duration: int = 40
    volume_period: float = 60.0
    """Between refreshes of what volumes project."""
    policy: Policy = UPSTREAM
    eviction: EvictionPolicy = UPSTREAM_EVICTION
    garbage: GarbagePolicy = UPSTREAM_GARBAGE
    pod_pids_limit: int | None = None
    """The most processes of one Pod."""
    seccomp_default: bool = False
    """Whether a container that says nothing gets the profile `RuntimeDefault` rather than none."""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """Sysctls that Pods may set although others on the node may feel it; a `*` at the end stands for any rest."""
    capacity: Mapping[str, str] = field(default_factory=dict)
    """Quantities that replace what the machine has: a share of it, or a simulated node's."""
    reserved: Mapping[str, str] = field(default_factory=dict)
    """Quantities kept from Pods: capacity less this is allocatable."""
    thresholds_reserve: bool = False
    """Whether what hard eviction thresholds keep is no part of what is allocatable either, as on upstream's nodes; a
    simulated node gives what it was given."""

    @property
    def home(self) -> Path | None:
        """The node's folder: registry credentials (`config.json`), static Pods (`manifests`), proofs about images."""
        return self.root.parent if self.root is not None else None
