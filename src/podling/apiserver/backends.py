"""Where a Service leads: one of its ready endpoints, for who speaks to it from here rather than by its address.

Invariant: never an address that opens this machine itself (loopback, link-local).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.errors import service_unavailable
from podling.api.resources import ENDPOINT_SLICES, SERVICES
from podling.apiserver.cache import Scope
from podling.apiserver.kubelet_proxy.targets import is_global_unicast

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.apiserver.registry import Registry


def endpoint_of(registry: Registry, found: Encoded, port: str) -> tuple[str, int]:
    """Return address and port of an endpoint of a Service; `port` is a name or number, empty for its first.

    `StatusError` 503 where there is none.
    """
    service = found.view(SERVICES.type)
    ports = service.spec.ports if service.spec is not None else ()
    chosen = [it for it in ports if port in {it.name, str(it.port)}] if port else list(ports[:1])
    if not chosen:
        raise service_unavailable(f'no service port "{port}" found for service "{found.name}"')
    slices = registry.shelf(registry.record(ENDPOINT_SLICES))
    backends: list[tuple[str, int]] = []
    for encoded in slices.select(Scope(found.namespace)):
        if encoded.labels.get("kubernetes.io/service-name") != found.name:
            continue
        view = encoded.view(ENDPOINT_SLICES.type)
        numbers = [it.port for it in view.ports if (it.name or "") == (chosen[0].name or "") and it.port]
        for endpoint in view.endpoints:
            ready = endpoint.conditions is None or endpoint.conditions.ready is not False
            usable = ready and endpoint.addresses and is_global_unicast(endpoint.addresses[0])
            backends += [(endpoint.addresses[0], number) for number in numbers if usable]
    if not backends:
        raise service_unavailable(f'no endpoints available for service "{found.name}"')
    return backends[registry.chance.below(len(backends))]
