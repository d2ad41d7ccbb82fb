"""The endpoints of a Service in the older form, an Endpoints object: subsets of addresses that share their ports.

Owns that form: one address family, no terminating Pods, at most 1,000 addresses. Which Pods are endpoints, and on which
ports, is `endpoints`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from podling.api.pods import is_ready
from podling.api.types.core_v1 import EndpointAddress, EndpointPort, EndpointSubset
from podling.api.validation.addresses import family_name
from podling.reach import endpoints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.types.core_v1 import Pod, Service

MOST: Final = 1000


def find(service: Service, pods: Iterable[Pod]) -> tuple[EndpointSubset, ...]:
    """Return the subsets of `service`, those of equal ports in one, addresses in their order."""
    publish = bool(service.spec.publish_not_ready_addresses)
    family = endpoints.families(service)[0]
    portless = not service.spec.ports and endpoints.is_headless(service)
    found: dict[tuple[EndpointPort, ...], tuple[list[EndpointAddress], list[EndpointAddress]]] = {}
    for pod in pods:
        if not endpoints.is_member(pod, terminating=publish):
            continue
        own = next((each for each in endpoints.addresses(pod) if family_name(each) == family), None)
        if own is None:
            continue
        ports = tuple(
            EndpointPort(name=p.name or "", port=p.port or 0, protocol=p.protocol or "", app_protocol=p.app_protocol)
            for p in endpoints.ports(service, pod)
        )
        if not ports and not portless:
            continue
        address = EndpointAddress(
            ip=own,
            hostname=endpoints.hostname(pod, service) or "",
            node_name=pod.spec.node_name or None,
            target_ref=endpoints.reference(pod),
        )
        ready, unready = found.setdefault(ports, ([], []))
        (ready if publish or is_ready(pod) else unready).append(address)
    return tuple(
        EndpointSubset(addresses=_sorted(ready), not_ready_addresses=_sorted(unready), ports=ports)
        for ports, (ready, unready) in sorted(found.items(), key=lambda each: [(p.name, p.port) for p in each[0]])
    )


def _sorted(addresses: Sequence[EndpointAddress]) -> tuple[EndpointAddress, ...]:
    return tuple(sorted(addresses, key=lambda each: (each.ip, each.target_ref.uid if each.target_ref else "")))


def truncated(subsets: Sequence[EndpointSubset], most: int = MOST) -> tuple[tuple[EndpointSubset, ...], bool]:
    """Return what fits into one object, ready addresses before the others, and whether anything was cut off.

    Each subset gives up its share, as upstream's does.
    """
    ready = sum(len(subset.addresses) for subset in subsets)
    total = ready + sum(len(subset.not_ready_addresses) for subset in subsets)
    if total <= most:
        return tuple(subsets), False
    of_ready = min(ready, most)
    of_unready = most - of_ready
    kept = []
    for subset in subsets:
        addresses = subset.addresses[: _share(len(subset.addresses), ready, of_ready)]
        unready = subset.not_ready_addresses[: _share(len(subset.not_ready_addresses), total - ready, of_unready)]
        if addresses or unready:
            kept.append(structs.replace(subset, addresses=addresses, not_ready_addresses=unready))
    return tuple(kept), True


def _share(own: int, total: int, most: int) -> int:
    return own * most // total if total else 0
