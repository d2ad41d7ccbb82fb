"""What every component of a node's network is given: the proxy, the policies, the flows.

Owns nothing. They see the cluster through the client and the informers, and the kernel through the node's `Host`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.client import Client
    from podling.client.informer import Informers
    from podling.linux.families import Family, Network
    from podling.linux.host import Host
    from podling.network.podnetwork import RoutedPodNetwork


@dataclass(frozen=True, slots=True)
class NetworkContext:
    """One node, the cluster around it, and who runs tasks."""

    node: str
    instance: str
    """Names every table: `podling-<instance>…`."""
    data: Path
    """The node's own folder, for what must outlive the process."""
    client: Client
    informers: Informers
    clock: Clock
    supervisor: Supervisor
    host: Host
    pods: RoutedPodNetwork
    service_ranges: Sequence[Network] = ()
    """The ranges of cluster addresses: one, or one of each family."""
    most_connections: int = 0
    """How many connections one Pod may have open; 0 for no bound."""

    def services_of(self, family: Family) -> Network | None:
        """Return the range of cluster addresses of a family, where there is one."""
        return next((each for each in self.service_ranges if each.version == family.version), None)
