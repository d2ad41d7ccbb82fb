"""The cluster's DNS, composed: addresses of its own on the first node, the server on them, and its Service.

Owns the order (addresses, server, Service, so that nobody is led to where nobody answers yet) and which resolvers are
asked for what is not the cluster's: the node's own, never this server itself.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.cluster.control_plane import account_user
from podling.cluster.failure import StartFailed
from podling.dns.answers import Answers
from podling.dns.following import Following
from podling.dns.forwarder import Forwarder
from podling.dns.server import PORT, DnsServer
from podling.kubelet.resolver import parse_resolv
from podling.network.addresses import DNS
from podling.reach.names import Zone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.cluster.control_plane import ControlPlane
    from podling.linux.host import Host
    from podling.network.podnetwork import RoutedPodNetwork

_RESOLVERS: Final = Path("/etc/resolv.conf")
_ACCOUNT: Final = "coredns"


@dataclass(frozen=True, slots=True)
class Naming:
    """The DNS as it runs."""

    server: DnsServer
    addresses: Sequence[str]
    """Its own, the primary family's first."""
    service: str
    """Of the Service that leads there: what Pods are told."""


class NodeResolvers:
    """The resolvers that a node's file names, of either family, read again when the file changes; none of `but`."""

    def __init__(self, path: Path = _RESOLVERS, but: Sequence[str] = ()) -> None:
        self._path = path
        self.but = but
        """Our own addresses, which are never asked."""
        self._read: tuple[int, int] | None = None
        self._found: Sequence[str] = ()

    def __call__(self) -> Sequence[str]:
        try:
            state = self._path.stat()
            if (state.st_mtime_ns, state.st_ino) != self._read:
                servers, _, _ = parse_resolv(self._path.read_text(errors="replace"))
                self._found = list(dict.fromkeys(filter(None, map(_plain, servers))))
                self._read = (state.st_mtime_ns, state.st_ino)
        except OSError:
            self._found, self._read = (), None
        return [server for server in self._found if server not in self.but]


def _plain(server: str) -> str:
    """Return a resolver's address, with its scope, as we write addresses; nothing for what is none, and never asked."""
    try:
        return str(ip_address(server))
    except ValueError:
        return ""


async def start(
    plane: ControlPlane,
    network: RoutedPodNetwork,
    host: Host,
    domain: str,
    clock: Clock,
    chance: Chance,
    supervisor: Supervisor,
) -> Naming:
    """Start the DNS on the first node, whose `network` and `host` these are."""
    addresses = [str(address) for address in await network.own_addresses(DNS)]
    zone = Zone(domain, addresses)
    ranges = [*plane.server.addresses.networks, *(held.cluster for held in network.ranges)]
    resolvers = NodeResolvers()
    forwarder = Forwarder(host, clock, chance, resolvers)
    server = DnsServer(host, Answers(zone, ranges), forwarder, clock, supervisor)
    user = account_user(_ACCOUNT)
    await Following(zone, plane.informers(user, supervisor), clock, supervisor).start()
    try:
        await server.start(addresses)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise StartFailed(
            f"port {PORT} of {' or '.join(addresses)}, where the cluster's DNS is to answer, is in use",
            "something listens on port 53 of every address: let it listen on its own alone",
        ) from error
    services = await plane.server.publish_dns(addresses)
    resolvers.but = (*addresses, *services)
    return Naming(server, addresses, services[0])
