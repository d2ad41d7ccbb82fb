"""Pods as the rules see them: what they ask for, reckoned once.

Two forms: `PendingPod` is the Pod that looks for a Node and carries its whole specification; `PodInfo` is what is left
to know of one that has a Node, small because there are many. Both are immutable; a changed Pod is a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from podling.api.pods import sidecars
from podling.placement.amounts import requests_of, weight_of
from podling.placement.terms import terms_of
from podling.placement.volumes import claims_of

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod


class HostPort(NamedTuple):
    """A port of the Node that a container takes."""

    address: str
    protocol: str
    port: int


class PodInfo:
    """One revision of a Pod with its requests, its weight in scores and its host ports."""

    __slots__ = (
        "claims",
        "deleting",
        "host_ports",
        "labels",
        "memory",
        "milli_cpu",
        "name",
        "namespace",
        "preempted",
        "priority",
        "requests",
        "started",
        "terms",
        "uid",
    )

    def __init__(self, pod: Pod) -> None:
        metadata, spec = pod.metadata, pod.spec
        self.uid = metadata.uid
        self.namespace = metadata.namespace
        self.name = metadata.name
        self.labels = metadata.labels
        self.deleting = metadata.deletion_timestamp is not None
        self.priority = spec.priority or 0
        self.started = pod.status.start_time or ""
        """When its kubelet took it on, as written; empty before."""
        self.preempted = self.deleting and any(
            c.type == "DisruptionTarget" and c.status == "True" and c.reason == "PreemptionByScheduler"
            for c in pod.status.conditions
        )
        """Whether it makes room for another."""
        self.terms = terms_of(spec.affinity, self.namespace)
        self.requests = requests_of(pod)
        self.milli_cpu, self.memory = weight_of(pod)
        """CPU and memory with upstream's defaults for containers that name none; for scores alone."""
        self.host_ports = _host_ports(pod)
        self.claims = tuple(f"{self.namespace}/{name}" for _, name in claims_of(pod))
        """The claims that it uses, each as `namespace/name`."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key}>"

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


class PendingPod(PodInfo):
    """A Pod that looks for a Node."""

    __slots__ = ("pod",)

    def __init__(self, pod: Pod) -> None:
        super().__init__(pod)
        self.pod = pod


def _host_ports(pod: Pod) -> tuple[HostPort, ...]:
    return tuple(
        HostPort(port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)  # noqa: S104 - a wildcard to compare
        for container in (*pod.spec.containers, *sidecars(pod))
        for port in container.ports
        if port.host_port
    )
