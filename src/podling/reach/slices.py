"""How endpoints are divided into slices, so that a change of one endpoint is a change of one small object.

Owns the division and nothing of what an endpoint is. Upstream's way: what stands in a slice stays there; slices that
change anyway are filled up first, the fullest of them before the others; only what then remains goes into a slice of
its own or into one unchanged slice that takes all of it; slices are never merged for tidiness. Invariants: no slice
grows beyond `most`; each wanted endpoint stands in exactly one; an object that need not change is not in the plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from podling.reach.endpoints import PortSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.discovery_v1 import Endpoint, EndpointSlice

MOST: Final = 100
"""Upstream's default of --max-endpoints-per-slice."""

_Key = tuple[Any, ...]


class SlicePlan(Struct, frozen=True):
    """What of the slices has to change. Labels and annotations are the caller's."""

    create: Sequence[tuple[PortSet, Sequence[Endpoint]]]
    update: Sequence[tuple[EndpointSlice, PortSet, Sequence[Endpoint]]]
    delete: Sequence[EndpointSlice]
    kept: Sequence[EndpointSlice]


def key(endpoint: Endpoint) -> _Key:
    """Return what makes an endpoint the same one, whatever its conditions are."""
    target = endpoint.target_ref
    named = (target.namespace, target.name) if target is not None else ("", "")
    return (tuple(sorted(endpoint.addresses)), endpoint.hostname or "", *named)


def _comparable(ports: PortSet) -> PortSet:
    """Return the same ports in an order of their own: another order in the Service moves no endpoint."""
    ordered = sorted(ports.ports, key=lambda each: (each.name or "", each.protocol or "", each.port or 0))
    return PortSet(ports.address_type, tuple(ordered))


def divide(
    wanted: Mapping[PortSet, Sequence[Endpoint]],
    existing: Sequence[EndpointSlice],
    address_types: Sequence[str],
    most: int = MOST,
) -> SlicePlan:
    """Plan the slices of one Service.

    Where an address type of `address_types` has no endpoints at all, one slice without ports and endpoints stays, so
    that whoever waits for slices of the Service sees that there is nothing.
    """
    of: dict[PortSet, list[EndpointSlice]] = {}
    for held in existing:
        of.setdefault(_comparable(PortSet(held.address_type, held.ports)), []).append(held)
    create: list[tuple[PortSet, Sequence[Endpoint]]] = []
    update: list[tuple[EndpointSlice, PortSet, Sequence[Endpoint]]] = []
    delete: list[EndpointSlice] = []
    kept: list[EndpointSlice] = []
    for ports, endpoints in wanted.items():
        made, changed, gone, same = _divide_one(endpoints, of.pop(_comparable(ports), []), most)
        create += [(ports, each) for each in made]
        update += [(held, ports, each) for held, each in changed]
        delete += gone
        kept += same
    for ports, left in of.items():
        if ports.address_type not in address_types:
            delete += left
            continue
        empty = PortSet(ports.address_type, ())
        if ports == empty and not any(each.address_type == ports.address_type for each in wanted):
            kept.append(left[0])  # the placeholder
            delete += left[1:]
        else:
            delete += left
    for kind in address_types:
        used = any(each.address_type == kind for each in (*kept, *(held for held, _, _ in update)))
        if not used and not any(ports.address_type == kind for ports, _ in create):
            create.append((PortSet(kind, ()), ()))
    return _reused(create, update, delete, kept)


def _divide_one(
    endpoints: Sequence[Endpoint], existing: Sequence[EndpointSlice], most: int
) -> tuple[list[list[Endpoint]], list[tuple[EndpointSlice, list[Endpoint]]], list[EndpointSlice], list[EndpointSlice]]:
    left = {key(endpoint): endpoint for endpoint in endpoints}
    changed: list[tuple[EndpointSlice, list[Endpoint]]] = []
    same: list[EndpointSlice] = []
    gone: list[EndpointSlice] = []
    for held in existing:
        staying = [left.pop(name) for name in map(key, held.endpoints) if name in left]
        if tuple(staying) == held.endpoints and staying:
            same.append(held)
        elif staying:
            changed.append((held, staying))
        else:
            gone.append(held)
    rest = list(left.values())
    for _, inside in sorted(changed, key=lambda each: -len(each[1])):
        taken = max(most - len(inside), 0)
        inside += rest[:taken]
        rest = rest[taken:]
    made: list[list[Endpoint]] = []
    while rest:
        filled = _room_for(len(rest), same, most) if len(rest) < most else None
        if filled is None:
            made.append(rest[:most])
            rest = rest[most:]
        else:
            same.remove(filled)
            changed.append((filled, [*filled.endpoints, *rest]))
            rest = []
    return made, changed, gone, same


def _room_for(number: int, slices: Sequence[EndpointSlice], most: int) -> EndpointSlice | None:
    """Return the fullest slice that takes `number` more."""
    fitting = [held for held in slices if len(held.endpoints) + number <= most]
    return max(fitting, key=lambda held: len(held.endpoints), default=None)


def _reused(
    create: list[tuple[PortSet, Sequence[Endpoint]]],
    update: list[tuple[EndpointSlice, PortSet, Sequence[Endpoint]]],
    delete: list[EndpointSlice],
    kept: list[EndpointSlice],
) -> SlicePlan:
    """Turn a deletion and a creation of one address type into an update: its type is all that a slice cannot change."""
    fresh: list[tuple[PortSet, Sequence[Endpoint]]] = []
    gone = list(delete)
    for ports, endpoints in create:
        recycled = next((held for held in gone if held.address_type == ports.address_type), None)
        if recycled is None:
            fresh.append((ports, endpoints))
        else:
            gone.remove(recycled)
            update.append((recycled, ports, endpoints))
    return SlicePlan(fresh, update, gone, kept)
