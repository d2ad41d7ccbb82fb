"""A cluster at one moment, as far as it decides who reaches whom, and the finding of what people name in it.

Owns the words by which a caller and a callee are named (`parse_end`) and what they mean in a snapshot. Pure; a name
that means nothing is an `Unknown`, whose message says what was looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from podling.api.pods import is_terminal
from podling.api.validation.addresses import canonical, parse
from podling.reach.endpoints import SERVICE_NAME, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from podling.api.types.core_v1 import Namespace, Node, Pod, Service
    from podling.api.types.discovery_v1 import EndpointSlice
    from podling.api.types.networking_v1 import NetworkPolicy
    from podling.reach.policy import Party


class Unknown(Exception):  # an answer: what was named does not exist
    """A name or address that means nothing in this cluster."""


class End(NamedTuple):
    """One end of a call as people name it."""

    kind: str
    """pod, node, svc, address, outside"""
    name: str = ""
    namespace: str = "default"
    port: str = ""
    """A number, or the name of a Service's port; empty where none is needed or there is but one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of the cluster."""

    pods: Sequence[Pod] = ()
    nodes: Sequence[Node] = ()
    services: Sequence[Service] = ()
    slices: Sequence[EndpointSlice] = ()
    policies: Sequence[NetworkPolicy] = ()
    namespaces: Sequence[Namespace] = ()
    first_node: str = ""
    """The node that callers from outside come to; empty: the first one."""
    stand_ins: Sequence[Party] = ()
    """What counts as Pods though there are none: the cluster's DNS."""
    _by_address: dict[str, Pod] = field(default_factory=dict, repr=False)

    def labels(self) -> Mapping[str, Mapping[str, str]]:
        """Return each namespace's labels."""
        return {namespace.metadata.name: namespace.metadata.labels for namespace in self.namespaces}

    def pod(self, namespace: str, name: str) -> Pod:
        for pod in self.pods:
            if (pod.metadata.namespace, pod.metadata.name) == (namespace, name):
                return pod
        raise Unknown(f"there is no Pod {namespace}/{name}")

    def pod_at(self, address: str) -> Pod | None:
        """Return the Pod that has an address of its own; Pods of the host's network have none."""
        if not self._by_address:
            for pod in self.pods:
                if not pod.spec.host_network and not is_terminal(pod):
                    self._by_address.update(dict.fromkeys(map(canonical, addresses(pod)), pod))
        return self._by_address.get(address)

    def stand_in_at(self, address: str) -> Party | None:
        """Return what counts as a Pod at an address, as it is called there."""
        return next((party.at(address) for party in self.stand_ins if address in party.addresses), None)

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.metadata.name == name:
                return node
        raise Unknown(f"there is no Node {name}")

    def node_at(self, address: str) -> Node | None:
        for node in self.nodes:
            if any(canonical(entry.address) == address for entry in node.status.addresses):
                return node
        return None

    def entrance(self) -> Node | None:
        """Return the node that callers from outside come to."""
        for node in self.nodes:
            if node.metadata.name == self.first_node:
                return node
        return self.nodes[0] if self.nodes else None

    def service(self, namespace: str, name: str) -> Service:
        for service in self.services:
            if (service.metadata.namespace, service.metadata.name) == (namespace, name):
                return service
        raise Unknown(f"there is no Service {namespace}/{name}")

    def slices_of(self, service: Service) -> list[EndpointSlice]:
        meta = service.metadata
        return [
            one
            for one in self.slices
            if one.metadata.namespace == meta.namespace and one.metadata.labels.get(SERVICE_NAME) == meta.name
        ]


def faces(service: Service) -> Iterator[tuple[str, str]]:
    """Yield each address of a Service with what it is: cluster IP, external IP, load balancer."""
    yield from ((canonical(address), "cluster IP") for address in service.spec.cluster_ips if address != "None")
    yield from ((canonical(address), "external IP") for address in service.spec.external_ips)
    if service.status.load_balancer is not None:
        entries = (entry.ip for entry in service.status.load_balancer.ingress if entry.ip)
        yield from ((canonical(address), "load balancer") for address in entries)


def called_at(service: Service, *, is_outside: bool) -> list[tuple[str, str]]:
    """Return the faces that are called where a Service is meant, as far as it has such.

    Its name leads to its cluster addresses; from outside they mean nothing, and the others are called.
    """
    every = list(faces(service))
    own = [(address, what) for address, what in every if (what != "cluster IP") == is_outside]
    return own or every


def parse_end(text: str, *, is_callee: bool) -> End:
    """Read an end: `[pod/][NAMESPACE/]NAME`, `svc/…`, `node/NAME`, `outside`, or an address; callees may add `:PORT`.

    `ValueError` says how it is to be written.
    """
    text, port = _port(text) if is_callee else (text.removeprefix("[").removesuffix("]"), "")
    kind, _, rest = text.partition("/")
    if text == "outside" and not is_callee:
        return End("outside")
    if parse(text) is not None:
        return End("address", canonical(text), "", port)
    match kind:
        case "node" if rest and "/" not in rest:
            return End("node", rest, "", port)
        case "pod" | "pods" | "po" if rest:
            return _named("pod", rest, port)
        case "svc" | "service" | "services" if rest and is_callee:
            return _named("svc", rest, port)
    if text and text.count("/") <= 1 and kind:
        return _named("pod", text, port)
    forms = "[pod/][NAMESPACE/]NAME, node/NAME or an address"
    raise ValueError(
        f"{text!r} names no callee: write {forms}, or svc/[NAMESPACE/]NAME, each with :PORT"
        if is_callee
        else f"{text!r} names no caller: write {forms}, or outside"
    )


def _named(kind: str, text: str, port: str) -> End:
    namespace, _, name = text.rpartition("/")
    return End(kind, name, namespace or "default", port)


def _port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return address, port.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    head, _, port = text.partition(":")
    return head, port
