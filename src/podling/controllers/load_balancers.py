"""Gives Services of type LoadBalancer addresses out of pools of this machine, so that none is pending for ever.

Level: the Services as they are seen; who holds which address stands in their status alone. A Service has one of each
of its address families. They are answered for by the nodes' proxies, so there is no balancer besides them: the mode is
VIP. Upstream's finalizer is upheld: a Service goes when its addresses have been taken from it. Services of another
class than Podling's are left to others.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import SERVICES
from podling.api.validation.addresses import parse
from podling.client.cache import key_of, split_key
from podling.controllers.written import Written
from podling.reach.endpoints import families

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Service
    from podling.api.validation.addresses import Address, Network
    from podling.client.informer import Informer
    from podling.controllers.context import Context

FINALIZER: Final = "service.kubernetes.io/load-balancer-cleanup"
CLASS: Final = "podling.dev/local"
"""The class that may be named, and need not be."""
_ALL: Final = "all"


class NoAddress(Exception):
    """A Service cannot have an address, or not the one that it asks for."""


class BalancerPlan(msgspec.Struct, frozen=True):
    """What to write of one Service: its finalizers and the addresses in its status; `None` leaves what is there."""

    finalizers: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None


def is_ours(service: Service) -> bool:
    """Whether a Service wants an address from here."""
    spec = service.spec
    return (
        spec.type == "LoadBalancer"
        and spec.load_balancer_class in (None, CLASS)
        and service.metadata.deletion_timestamp is None
    )


def held(service: Service) -> tuple[str, ...]:
    """Return the addresses in a Service's status."""
    balancer = service.status.load_balancer
    return tuple(each.ip for each in (balancer.ingress if balancer is not None else ()) if each.ip)


def plan(service: Service, taken: Mapping[str, str], pools: Sequence[Network]) -> BalancerPlan:
    """Plan for one Service; `taken` are addresses with the key of who holds them. Refusals are `NoAddress`.

    It has one address of each of its families that there is a pool for, in their order. An address once given stays,
    while the pool has it and the Service asks for no other.
    """
    meta = service.metadata
    guarded = FINALIZER in meta.finalizers
    now = held(service)
    if not is_ours(service):
        if not guarded:
            return BalancerPlan()
        left = tuple(each for each in meta.finalizers if each != FINALIZER)
        return BalancerPlan(left, () if now else None)
    finalizers = None if guarded else (*meta.finalizers, FINALIZER)
    key = f"{meta.namespace}/{meta.name}"
    names = families(service)
    own = [pool for name in names for pool in pools if name == f"IPv{pool.version}"]
    if not own:
        raise NoAddress(f"there is no pool of {' or '.join(names)} addresses")
    wanted = _wanted(service, own)
    mine = [address for each in now if taken.get(each, key) == key and (address := parse(each)) is not None]
    given = []
    for pool in own:
        asked = wanted if wanted is not None and wanted.version == pool.version else None
        kept = next((each for each in mine if each in pool and asked in (None, each)), None)
        given.append(str(kept if kept is not None else _address(key, asked, taken, pool)))
    return BalancerPlan(finalizers, None if tuple(given) == now else tuple(given))


def _wanted(service: Service, pools: Sequence[Network]) -> Address | None:
    """Return the address that a Service asks for, which must be of one of its pools."""
    text = service.spec.load_balancer_ip
    if not text:
        return None
    address = parse(text)
    if address is None:
        raise NoAddress(f"loadBalancerIP {text} is no IP address")
    if not any(_gives(pool, address) for pool in pools):
        raise NoAddress(f"loadBalancerIP {text} is not in the pool {' or '.join(map(str, pools))}")
    return address


def _gives(pool: Network, address: Address) -> bool:
    """Whether a pool gives an address away, as `hosts` has it: not its own, nor the one by which IPv4 calls all."""
    ends = (pool.network_address,) if pool.version == 6 else (pool.network_address, pool.broadcast_address)
    return address in pool and (pool.num_addresses <= 2 or address not in ends)


def _address(key: str, wanted: Address | None, taken: Mapping[str, str], pool: Network) -> Address:
    if wanted is None:
        free = next((each for each in pool.hosts() if str(each) not in taken), None)
        if free is None:
            raise NoAddress(f"no address is free in the pool {pool}")
        return free
    holder = taken.get(str(wanted), key)
    if holder != key:
        raise NoAddress(f"loadBalancerIP {wanted} is held by the Service {holder}")
    return wanted


class LoadBalancers:
    """Keys are Services. One at a time, so that no address is given twice."""

    account = "service-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._pools = [ip_network(each) for each in context.settings.load_balancer_pools]
        self._services: Informer[Service] = context.informers.of(SERVICES)
        self._services.add_index("balanced", self._holdings)
        self._written = Written(self._services)
        self._recorder = context.recorder("service-controller")
        self._waiting: dict[str, str] = {}
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._services.on_change(self._on_service)
        self._supervisor.workers("load-balancers", self._queue, self._sync)

    def _holdings(self, seen: Encoded) -> tuple[str, ...]:
        return (_ALL,) if self._held(seen) else ()

    def _on_service(self, old: Encoded | None, new: Encoded | None) -> None:
        echo = self._written.echoed(old, new)
        if self._waiting and old is not None and set(self._held(old)) - set(self._held(new)):
            self._wake()
        if new is None:
            if old is not None:
                self._waiting.pop(key_of(old), None)
        elif not echo and (new.fields.get("spec.type") == "LoadBalancer" or FINALIZER.encode() in new.raw):
            self._queue.add(key_of(new))

    async def _sync(self, key: str) -> None:
        await self._services.wait_synced()
        namespace, name = split_key(key)
        seen = self._services.get(name, namespace)
        service = next(iter(self._written.over(key, [seen] if seen is not None else [])), None)
        if service is None:
            return
        try:
            todo = plan(service, self._taken(), self._pools)
        except NoAddress as why:
            if self._waiting.get(key) != str(why):
                said = f"Error syncing load balancer: failed to ensure load balancer: {why}"
                self._recorder.event(service, "Warning", "SyncLoadBalancerFailed", said)
            self._waiting[key] = str(why)
            return
        self._waiting.pop(key, None)
        if todo.finalizers is None and todo.addresses is None:
            return
        ours = is_ours(service)
        self._recorder.event(service, "Normal", *_BEGUN[ours])
        try:
            made = await self._client.patch(
                SERVICES, name, _patch(service, todo), namespace=namespace, subresource="status"
            )
        except StatusError as refusal:
            if refusal.is_not_found:
                return
            raise
        self._written.put(key, made)
        self._recorder.event(service, "Normal", *_DONE[ours])
        if todo.addresses is not None and set(held(service)) - set(todo.addresses):
            self._wake()

    def _held(self, seen: Encoded | None) -> tuple[str, ...]:
        return held(self._services.view(seen)) if seen is not None and b'"ingress"' in seen.raw else ()

    def _wake(self) -> None:
        """Let those try again who had none: an address is free."""
        for key in self._waiting:
            self._queue.add(key)

    def _taken(self) -> Mapping[str, str]:
        seen = [self._services.view(each) for each in self._services.indexed("balanced", _ALL)]
        found: dict[str, str] = {}
        for service in self._written.all(seen):
            for address in held(service):
                found.setdefault(address, f"{service.metadata.namespace}/{service.metadata.name}")
        return found


_BEGUN: Final = {
    True: ("EnsuringLoadBalancer", "Ensuring load balancer"),
    False: ("DeletingLoadBalancer", "Deleting load balancer"),
}
_DONE: Final = {
    True: ("EnsuredLoadBalancer", "Ensured load balancer"),
    False: ("DeletedLoadBalancer", "Deleted load balancer"),
}


def _patch(service: Service, todo: BalancerPlan) -> dict[str, Any]:
    meta = service.metadata
    patch: dict[str, Any] = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}}
    if todo.finalizers is not None:
        patch["metadata"]["finalizers"] = list(todo.finalizers) or None
    if todo.addresses is not None:
        ingress = [{"ip": address, "ipMode": "VIP"} for address in todo.addresses]
        patch["status"] = {"loadBalancer": {"ingress": ingress or None}}
    return patch
