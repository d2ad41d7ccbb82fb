"""The objects that every cluster has: made at start where they are missing, never changed afterwards by this module.

Owns namespaces, system PriorityClasses, the default StorageClass and the `kubernetes` Service with its endpoints. The
roles come from `identity.bootstrap`.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from podling.api import resources as r
from podling.api import times
from podling.api.errors import StatusError
from podling.api.validation.addresses import family_name
from podling.apiserver.objects import tree_of
from podling.apiserver.paths import Target
from podling.apiserver.record import User
from podling.apiserver.verbs import creating, updating, writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.resources import Resource
    from podling.apiserver.registry import Registry

SYSTEM = User("system:apiserver", ("system:masters", "system:authenticated"))

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_CRITICAL = "Used for system critical pods that must "
_PRIORITIES = (
    (
        "system-cluster-critical",
        2_000_000_000,
        f"{_CRITICAL}run in the cluster, but can be moved to another node if necessary.",
    ),
    ("system-node-critical", 2_000_001_000, f"{_CRITICAL}not be moved from their current node."),
)


LOCAL_PATH = "podling.dev/local-path"
"""The provisioner of folders on nodes."""
_DEFAULT_CLASS: dict[str, Any] = {
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": LOCAL_PATH,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


async def ensure(registry: Registry, objects: Iterable[tuple[Resource[Any], dict[str, Any]]]) -> None:
    """Create what is not there, all at once, so that one commit to disk serves many."""

    async def create(resource: Resource[Any], tree: dict[str, Any]) -> None:
        metadata = tree["metadata"]
        if registry.find(resource, metadata.get("namespace", ""), metadata["name"]) is not None:
            return
        record = registry.record(resource)
        body = writing.settle(record, {"kind": resource.kind, "apiVersion": resource.api_version, **tree})
        try:
            await creating.create_tree(registry, Target(record, metadata.get("namespace", "")), SYSTEM, body, [])
        except StatusError as error:
            if not error.is_already_exists:
                raise

    async with asyncio.TaskGroup() as group:
        for resource, tree in objects:
            group.create_task(create(resource, tree))


def namespaces() -> list[tuple[Resource[Any], dict[str, Any]]]:
    """Return the namespaces, without which nothing else can be created."""
    return [(r.NAMESPACES, {"metadata": {"name": name}}) for name in _NAMESPACES]


def objects() -> list[tuple[Resource[Any], dict[str, Any]]]:
    """Return what must be there before anybody may call."""
    return [
        *(
            (r.PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value, "description": description})
            for name, value, description in _PRIORITIES
        ),
        (r.STORAGE_CLASSES, copy.deepcopy(_DEFAULT_CLASS)),
    ]


def kubernetes_service(address: str) -> list[tuple[Resource[Any], dict[str, Any]]]:
    """Return the Service through which Pods reach the API, at the first address of the range."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    spec = {
        "clusterIP": address,
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        "type": "ClusterIP",
        "sessionAffinity": "None",
    }
    return [(r.SERVICES, {"metadata": {"name": "kubernetes", "namespace": "default", "labels": labels}, "spec": spec})]


def dns_service(addresses: Sequence[str], *, is_dual: bool = False) -> list[tuple[Resource[Any], dict[str, Any]]]:
    """Return the Service at which Pods find the cluster's DNS; it has upstream's names, and no selector.

    What it lacks of `addresses` it is given.
    """
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    spec = {
        **({"clusterIP": addresses[0], "clusterIPs": list(addresses)} if addresses else {}),
        **({"ipFamilyPolicy": "PreferDualStack"} if is_dual else {}),
        "ports": _DNS_PORTS,
        "type": "ClusterIP",
        "sessionAffinity": "None",
    }
    return [
        (r.SERVICES, {"metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels}, "spec": spec})
    ]


_DNS_PORTS = [
    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
]


async def publish_dns(registry: Registry, addresses: Sequence[str]) -> None:
    """Say where the cluster's DNS listens: at one address of each family that there is."""
    ports = [{key: value for key, value in port.items() if key != "targetPort"} for port in _DNS_PORTS]
    await _publish(registry, "kube-dns", "kube-system", addresses, ports)


async def publish_endpoints(registry: Registry, address: str, port: int) -> None:
    """Say where the API server listens, in the Endpoints and the EndpointSlice of the `kubernetes` Service."""
    await _publish(registry, "kubernetes", "default", [address], [{"name": "https", "port": port, "protocol": "TCP"}])


async def _publish(
    registry: Registry, name: str, namespace: str, addresses: Sequence[str], ports: list[dict[str, Any]]
) -> None:
    """Write the Endpoints, which have the primary family alone, and a slice for each family."""
    mirrored = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    subsets = [{"addresses": [{"ip": addresses[0]}], "ports": ports}]
    metadata = {"name": name, "namespace": namespace}
    await _write(registry, r.ENDPOINTS, {"metadata": {**metadata, "labels": mirrored}, "subsets": subsets})
    labels = {"kubernetes.io/service-name": name}
    primary = family_name(addresses[0])
    for family in ("IPv4", "IPv6"):
        own = [address for address in addresses if family_name(address) == family]
        called = name if family == primary else f"{name}-{family.lower()}"
        if not own and registry.find(r.ENDPOINT_SLICES, namespace, called) is None:
            continue
        await _write(
            registry,
            r.ENDPOINT_SLICES,
            {
                "metadata": {"name": called, "namespace": namespace, "labels": labels},
                "addressType": family,
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in own],
                "ports": ports,
            },
        )


async def publish_service_ranges(registry: Registry, ranges: Sequence[str]) -> None:
    """Say which ranges Services have their addresses from, in the ServiceCIDR of upstream's name."""
    name, wanted = "kubernetes", list(ranges)
    held = registry.find(r.SERVICE_CIDRS, "", name)
    if held is not None and tree_of(held)["spec"]["cidrs"] == wanted:
        return
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": times.to_wire(registry.clock.time()),
    }
    tree = {"metadata": {"name": name}, "spec": {"cidrs": wanted}, "status": {"conditions": [ready]}}
    await _write(registry, r.SERVICE_CIDRS, tree)


async def _write(registry: Registry, resource: Resource[Any], tree: dict[str, Any]) -> None:
    metadata = tree["metadata"]
    record = registry.record(resource)

    def wanted(_current: object = None) -> dict[str, Any]:
        fresh = {**tree, "metadata": dict(metadata)}
        return writing.settle(record, {"kind": resource.kind, "apiVersion": resource.api_version, **fresh})

    namespace = metadata.get("namespace", "")
    if registry.find(resource, namespace, metadata["name"]) is None:
        await creating.create_tree(registry, Target(record, namespace), SYSTEM, wanted(), [])
    else:
        target = Target(record, namespace, metadata["name"])
        await updating.apply_change(registry, target, SYSTEM, wanted, [], dry_run=False)
