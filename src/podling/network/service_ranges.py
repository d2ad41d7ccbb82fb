"""Where a cluster's Services have their addresses: 10.96.0.0/16, load balancers 10.97.0.0/24, else what is free.

Owns the choice, `<data>/network/services.json` that keeps it (stored Services depend on it), and the file
`/run/podling/<instance>/service-ranges` by which instances on one machine hear of each other: no route leads to these
addresses, so none can show that they are taken. Invariant: two clusters on a machine never share a range, nor does one
overlap a network that the machine knows a way to.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Final

import msgspec

from podling.linux import files
from podling.linux.families import IPV4
from podling.linux.netlink import Netlink
from podling.network.ranges import choose

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SERVICES: Final = IPv4Network("10.96.0.0/16")
BALANCERS: Final = IPv4Network("10.97.0.0/24")
_RESERVATION: Final = "service-ranges"


class ServicesHeld(Exception):  # an outcome that the command words for its user
    """What this cluster's Services have has become somebody else's while it was down."""


class ServiceRanges(msgspec.Struct, frozen=True):
    """Two ranges, as text."""

    services: str
    balancers: str

    @property
    def networks(self) -> tuple[IPv4Network, IPv4Network]:
        return IPv4Network(self.services), IPv4Network(self.balancers)


def reserve(data: Path, run: Path, balancers: IPv4Network | None = None) -> ServiceRanges:
    """Return the cluster's ranges, chosen at its first start; `ServicesHeld` if they have become somebody else's since.

    `run` is the instance's folder below the one that all instances of the machine share. `balancers` is what the user
    wants for load balancers, which may change from start to start; `ServicesHeld` too, if it is somebody else's.
    """
    kept = data / "network" / "services.json"
    with files.locked(run.parent / "ranges.lock"):
        taken = [*_routes(), *reserved(run.parent, but=run.name)]
        if kept.exists():
            mine = msgspec.json.decode(kept.read_bytes(), type=ServiceRanges)
        else:
            services = choose([*taken, *filter(None, [balancers])], SERVICES)
            mine = ServiceRanges(str(services), str(choose([*taken, services], BALANCERS)))
        if balancers is not None:
            _check(balancers, [*taken, mine.networks[0]], "wanted for load balancers")
            mine = ServiceRanges(mine.services, str(balancers))
        for network in mine.networks:
            _check(network, taken, "where this cluster's Services are")
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.replace(kept, msgspec.json.encode(mine))
        run.mkdir(parents=True, exist_ok=True)
        (run / _RESERVATION).write_bytes(msgspec.json.encode(mine))
    return mine


def _check(network: IPv4Network, taken: Iterable[IPv4Network], what: str) -> None:
    other = next((each for each in taken if each.overlaps(network)), None)
    if other is not None:
        raise ServicesHeld(f"{network}, {what}, overlaps {other} of this machine")


def reserved(run_root: Path, *, but: str = "") -> list[IPv4Network]:
    """Return what the instances on this machine have reserved for Services, all `but` one."""
    found: list[IPv4Network] = []
    for path in sorted(run_root.glob(f"*/{_RESERVATION}")):
        if path.parent.name != but:
            try:
                found += msgspec.json.decode(path.read_bytes(), type=ServiceRanges).networks
            except (FileNotFoundError, ValueError):
                continue  # gone meanwhile, or half written by who was killed: nobody lives by it
    return found


def _routes() -> list[IPv4Network]:
    with Netlink() as netlink:
        return [route.destination for route in netlink.routes(IPV4) if isinstance(route.destination, IPv4Network)]
