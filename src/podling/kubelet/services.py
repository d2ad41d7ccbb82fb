"""The variables by which a container finds Services that were there before it.

Owns their names: `{NAME}_SERVICE_HOST`, `{NAME}_SERVICE_PORT`, and the older docker links. Knows Services alone. Those
of the Pod's namespace are given if it wants links; the API server's own, `kubernetes` in `default`, always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation.addresses import bracketed

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Service
    from podling.client.informer import Informer


class ServiceVariables:
    """Reads Services from an informer."""

    def __init__(self, informer: Informer[Service]) -> None:
        self._informer = informer

    async def synced(self) -> None:
        await self._informer.wait_synced()

    def variables(self, namespace: str, links: bool) -> dict[str, str]:
        """Return the variables that a Pod of `namespace` is given; `links` is its `enableServiceLinks`."""
        chosen: dict[str, Service] = {}
        master = self._informer.get("kubernetes", "default")
        if master is not None:
            chosen["kubernetes"] = master
        if links:
            for service in sorted(self._informer.list(namespace), key=lambda s: s.metadata.name):
                chosen[service.metadata.name] = service
        found: dict[str, str] = {}
        for service in chosen.values():
            found.update(_of(service))
        return found


def _of(service: Service) -> dict[str, str]:
    address = service.spec.cluster_ip
    ports = service.spec.ports
    if address in ("", "None") or not ports:
        return {}
    prefix = service.metadata.name.upper().replace("-", "_")
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            found[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for number, port in enumerate(ports):
        protocol = (port.protocol or "TCP").lower()
        url = f"{protocol}://{bracketed(address)}:{port.port}"
        if number == 0:
            found[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        found[link] = url
        found[f"{link}_PROTO"] = protocol
        found[f"{link}_PORT"] = str(port.port)
        found[f"{link}_ADDR"] = address
    return found
