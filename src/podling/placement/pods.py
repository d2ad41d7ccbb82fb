"""A Pod as the rules see it: what it asks for, reckoned once.

Immutable; a changed Pod is a new `PodInfo`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from podling.placement.amounts import requests_of, weight_of

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod


class HostPort(NamedTuple):
    """A port of the Node that a container takes."""

    address: str
    protocol: str
    port: int


class PodInfo:
    """One revision of a Pod with its requests, its weight in scores and its host ports."""

    __slots__ = ("host_ports", "memory", "milli_cpu", "pod", "priority", "requests", "uid")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.uid = pod.metadata.uid
        self.priority = pod.spec.priority or 0
        self.requests = requests_of(pod)
        self.milli_cpu, self.memory = weight_of(pod)
        """CPU and memory with upstream's defaults for containers that name none; for scores alone."""
        self.host_ports = _host_ports(pod)

    def __repr__(self) -> str:
        return f"<PodInfo {self.key}>"

    @property
    def key(self) -> str:
        return f"{self.pod.metadata.namespace}/{self.pod.metadata.name}"


def _host_ports(pod: Pod) -> tuple[HostPort, ...]:
    sidecars = (c for c in pod.spec.init_containers if c.restart_policy == "Always")
    return tuple(
        HostPort(port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)  # noqa: S104 - a wildcard to compare
        for container in (*pod.spec.containers, *sidecars)
        for port in container.ports
        if port.host_port
    )
