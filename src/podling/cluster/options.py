"""What a user may choose about a cluster; plain values, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from podling.cluster.failure import StartFailed

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from podling.linux.families import Network


@dataclass(frozen=True, slots=True)
class Options:
    """The flags of `podling up`, as a value."""

    data_dir: Path
    runtime: str | None = None
    """oci, cri or sim; `None` takes oci where this process may run containers, else sim, and says so."""
    nodes: int | None = None
    """`None`: as many as there were, else one."""
    port: int = 6443
    """0 takes a free one."""
    listen: tuple[str, ...] = ()
    """Addresses besides 127.0.0.1 to listen on; certificates follow."""
    store: str = "sqlite"
    token_file: Path | None = None
    node_name: str = ""
    """Empty: the host's name, as the kubelet takes it."""
    event_ttl: float = 86400.0
    """Seconds for which Events outlive their object."""
    cni: Path | None = None
    """A folder of CNI configurations: the plugins named there wire Pods, in place of Podling."""
    pod_connections: int = 32768
    """How many connections one Pod may have open at a time; 0 for no bound."""
    load_balancer_ranges: tuple[Network, ...] = ()
    """Where Services of type LoadBalancer have their addresses, one of each family; else what is free."""
    ip_family: str | None = None
    """`ipv4`, or `dual`: IPv6 beside it; `None` takes `dual` where the machine has IPv6."""
    kubelet_config: Path | None = None
    """A KubeletConfiguration, for every node."""

    def check_ranges(self, families: Collection[str]) -> None:
        """Refuse a range of a family that the cluster turns out not to have."""
        for network in self.load_balancer_ranges:
            if f"IPv{network.version}" not in families:
                raise StartFailed(
                    f"--load-balancer-range {network}: this cluster has no IPv{network.version}",
                    "leave it out, or see --ip-family",
                )
