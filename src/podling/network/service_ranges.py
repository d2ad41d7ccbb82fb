"""Where a cluster's Services have their addresses: 10.96.0.0/16, load balancers 10.97.0.0/24, else what is free.

Of IPv6, where the cluster has it: fd00:10:96::/112 and fd00:10:97::/120. Owns the choice,
`<data>/network/services.json` that keeps it (stored Services depend on it), and the file
`/run/podling/<instance>/service-ranges` by which instances on one machine hear of each other: no route leads to these
addresses, so none can show that they are taken. Invariant: two clusters on a machine never share a range, nor does one
overlap a network that the machine knows a way to.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

import msgspec

from podling.linux import files
from podling.linux.families import IPV4, IPV6, family_of
from podling.linux.netlink import Netlink
from podling.network.ranges import choose, overlap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from podling.linux.families import Family, Network

SERVICES: Final[Mapping[Family, Network]] = {IPV4: ip_network("10.96.0.0/16"), IPV6: ip_network("fd00:10:96::/112")}
BALANCERS: Final[Mapping[Family, Network]] = {IPV4: ip_network("10.97.0.0/24"), IPV6: ip_network("fd00:10:97::/120")}
_RESERVATION: Final = "service-ranges"


class ServicesHeld(Exception):  # an outcome that the command words for its user
    """What this cluster's Services have has become somebody else's while it was down."""


class FamilyRanges(msgspec.Struct, frozen=True):
    """Two ranges of one family, as text."""

    services: str
    balancers: str

    @property
    def networks(self) -> tuple[Network, Network]:
        return ip_network(self.services), ip_network(self.balancers)


class ServiceRanges(FamilyRanges, frozen=True):
    """A cluster's ranges: of the primary family, and of the other one where it has that."""

    further: FamilyRanges | None = None

    @property
    def of_families(self) -> Sequence[FamilyRanges]:
        """The ranges, family by family, the primary one first."""
        return (self,) if self.further is None else (self, self.further)


def reserve(
    data: Path, run: Path, balancers: Iterable[Network] = (), families: Sequence[Family] = (IPV4,)
) -> ServiceRanges:
    """Return the cluster's ranges, chosen at its first start; `ServicesHeld` if they have become somebody else's since.

    `run` is the instance's folder below the one that all instances of the machine share. `balancers` are what the user
    wants for load balancers, which may change from start to start; `ServicesHeld` too, if it is somebody else's. Of a
    family that is not wanted at this start nothing is returned; what the cluster has of it stays its own for the next.
    """
    kept = data / "network" / "services.json"
    wanted = {family_of(network): network for network in balancers}
    with files.locked(run.parent / "ranges.lock"):
        taken = [*_routes(), *reserved(run.parent, but=run.name)]
        known = msgspec.json.decode(kept.read_bytes(), type=ServiceRanges) if kept.exists() else None
        of = {family_of(each.networks[0]): each for each in (known.of_families if known is not None else ())}
        for family in families:
            of[family] = _chosen(of.get(family), family, taken, wanted.get(family))
        first = of[IPV4]
        mine = ServiceRanges(first.services, first.balancers, of.get(IPV6))
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.replace(kept, msgspec.json.encode(mine))
        run.mkdir(parents=True, exist_ok=True)
        (run / _RESERVATION).write_bytes(msgspec.json.encode(mine))
    return mine if IPV6 in families else msgspec.structs.replace(mine, further=None)


def _chosen(
    known: FamilyRanges | None, family: Family, taken: Sequence[Network], balancers: Network | None
) -> FamilyRanges:
    if known is None:
        services = choose([*taken, balancers] if balancers is not None else taken, SERVICES[family])
        known = FamilyRanges(str(services), str(choose([*taken, services], BALANCERS[family])))
    if balancers is not None:
        _check(balancers, [*taken, known.networks[0]], "wanted for load balancers")
        known = FamilyRanges(known.services, str(balancers))
    for network in known.networks:
        _check(network, taken, "where this cluster's Services are")
    return known


def _check(network: Network, taken: Iterable[Network], what: str) -> None:
    other = next((each for each in taken if overlap(each, network)), None)
    if other is not None:
        raise ServicesHeld(f"{network}, {what}, overlaps {other} of this machine")


def reserved(run_root: Path, *, but: str = "") -> list[Network]:
    """Return what the instances on this machine have reserved for Services, all `but` one."""
    found: list[Network] = []
    for path in sorted(run_root.glob(f"*/{_RESERVATION}")):
        if path.parent.name != but:
            try:
                ranges = msgspec.json.decode(path.read_bytes(), type=ServiceRanges)
                found += [network for each in ranges.of_families for network in each.networks]
            except (FileNotFoundError, ValueError):
                continue  # gone meanwhile, or half written by who was killed: nobody lives by it
    return found


def _routes() -> list[Network]:
    with Netlink() as netlink:
        return [route.destination for route in netlink.routes() if route.destination.prefixlen]
