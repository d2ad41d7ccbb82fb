"""What controllers are told at their start: upstream's flags of kube-controller-manager, with upstream's defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds, Nodes a second, and numbers of things."""

    node_monitor_grace_period: float = 50.0
    """How long a Node may be silent before it counts as lost."""
    node_startup_grace_period: float = 60.0
    """The same for one that has never posted a status."""
    node_eviction_rate: float = 0.1
    """How many Nodes of a zone are tainted NoExecute in a second."""
    secondary_node_eviction_rate: float = 0.01
    """The same in a zone of which too much is lost."""
    unhealthy_zone_threshold: float = 0.55
    """The share of lost Nodes that is too much."""
    large_cluster_size_threshold: int = 50
    """A smaller zone of which too much is lost is left alone altogether."""
    terminated_pod_gc_threshold: int = 12500
    """How many finished Pods are kept; 0 keeps them all."""
    max_endpoints_per_slice: int = 100
    """How many endpoints an EndpointSlice holds at most."""
    mirroring_max_endpoints_per_subset: int = 1000
    """How many addresses of one subset of hand-written Endpoints are mirrored into a slice."""
    resource_quota_sync_period: float = 300.0
    """How often every ResourceQuota is reckoned anew, whatever has happened."""
    load_balancer_pools: tuple[str, ...] = ("10.97.0.0/24", "fd00:10:97::/120")
    """Where Services of type LoadBalancer have their addresses from: one range, or one of each family."""
