"""The API server of one cluster: the composition of cache, registry, admission, handler and chain.

Owns their lives: `start` loads the cache and makes the bootstrap objects; `components` are to be run by a supervisor;
`transport` gives a component its door; `serve` listens. Knows nothing of what the components do with it.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from podling.api import resources as r
from podling.apiserver import admission, bootstrap
from podling.apiserver.admission.service_ranges import ServiceRanges
from podling.apiserver.admission.webhooks import Webhooks
from podling.apiserver.authorization import Authorization
from podling.apiserver.cache import CachedKind, WatchCache
from podling.apiserver.chain import Chain
from podling.apiserver.custom.kinds import CustomKinds
from podling.apiserver.door import FrontDoor
from podling.apiserver.event_retention import EventLimits, EventRetention
from podling.apiserver.extensions import (
    DiscoveryExtension,
    IssuerExtension,
    OpenApiExtension,
    ReviewsExtension,
    TokenSubresource,
)
from podling.apiserver.handler import Handler
from podling.apiserver.health import Health
from podling.apiserver.identity.bootstrap import objects as roles
from podling.apiserver.kinds import records
from podling.apiserver.metrics import Metrics
from podling.apiserver.node_ranges import set_node_ranges
from podling.apiserver.paths import Routes
from podling.apiserver.registry import Registry
from podling.apiserver.reviews import Reviews
from podling.apiserver.role_aggregation import RoleAggregation
from podling.apiserver.service_addresses import ServiceAddresses
from podling.apiserver.service_ips import ServiceIps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.api.resources import Resource
    from podling.apiserver.cache import Notice
    from podling.apiserver.chain import Extension
    from podling.apiserver.http import HttpServer, KubeletProxy
    from podling.apiserver.identity.authentication import Authentication
    from podling.apiserver.identity.tokens import TokenIssuer
    from podling.apiserver.record import Authenticator, Authorizer, Record, User
    from podling.store.protocol import Store


_TOLERATED_DELAY = 10_000
"""Revisions; a cache further behind its store is not well."""

SERVICE_RANGE: Final = "10.96.0.0/16"
"""Where Services have their addresses, unless told otherwise."""


_DNS_PLACE: Final = 10


class ApiServer:
    """A Kubernetes API over a store.

    >>> server = ApiServer(store, clock, chance)          # doctest: +SKIP
    >>> follow = asyncio.create_task(server.follow())
    >>> await server.start()
    >>> transport = server.transport(User("admin", ("system:masters",)))
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        chance: Chance,
        authorizer: Authorizer | None = None,
        *,
        service_cidrs: Sequence[str] = (SERVICE_RANGE,),
        event_limits: EventLimits | None = None,
        extensions: Sequence[Extension] = (),
    ) -> None:
        """Without an `authorizer`, the Node authorizer and RBAC decide, over this server's own cache.

        `service_cidrs` has one range, or one of each family, the primary one first.
        """
        self.clock = clock
        self.addresses = ServiceAddresses(service_cidrs, chance)
        self.records: tuple[Record, ...] = records(self.addresses)
        self.routes = Routes(self.records)
        stored = [record for record in self.records if record.stored_as is None]
        self.cache = WatchCache(
            store,
            clock,
            [CachedKind(it.key_prefix, it.shape, it.resource.namespaced, it.index) for it in stored],
        )
        self.registry = Registry(store, self.cache, clock, chance, self.routes)
        self.authorization = Authorization(self.registry)
        self._aggregation = RoleAggregation(self.registry, self.authorization.rbac)
        self.authorizer: Authorizer = authorizer or self.authorization
        ranges = ServiceRanges(bootstrap.SYSTEM)
        self.registry.admission = (*admission.chain(self.registry), ranges.admit, self.authorization.admit)
        self.registry.verdicts = admission.verdicts(self.registry, self.authorizer)
        self.registry.webhooks = self.webhooks = Webhooks(self.registry, bootstrap.SYSTEM)
        self.handler = Handler(self.registry, self.authorizer)
        self.metrics = Metrics(clock, self.cache, self.routes)
        self.health = Health(self.metrics, {"etcd": self._store_wrong, "watch-cache": self._cache_wrong})
        self.chain = Chain(
            self.routes,
            self.handler,
            self.authorizer,
            [self.health, DiscoveryExtension(self.routes), OpenApiExtension(self.routes, clock), *extensions],
            monotonic=clock.monotonic,
            observe=self.metrics.request,
        )
        self._listeners: list[HttpServer] = []
        others = tuple(it for it in stored if it.resource is not r.EVENTS)
        limits = event_limits or EventLimits()
        self._events = EventRetention(self.registry, self.registry.record(r.EVENTS), others, limits)
        self.cache.listen(self.registry.record(r.SERVICES).key_prefix, self._follow_service)
        self.cache.listen(self.registry.record(r.IP_ADDRESSES).key_prefix, self._follow_address)
        self._service_ips = ServiceIps(self.registry, self.addresses)
        self._custom = CustomKinds(self.registry)

    async def start(self, objects: Iterable[tuple[Resource[Any], dict[str, Any]]] = ()) -> None:
        """Load the cache and make what must be there, `objects` included.

        `follow` must run meanwhile: a write is answered once the cache shows it.
        """
        await self.cache.start()
        await bootstrap.ensure(self.registry, bootstrap.namespaces())
        service = bootstrap.kubernetes_service(self.addresses.first)
        await bootstrap.ensure(self.registry, [*bootstrap.objects(), *service, *roles(), *objects])
        await bootstrap.publish_service_ranges(self.registry, [str(each) for each in self.addresses.networks])

    def components(self) -> Sequence[tuple[str, Callable[[], Awaitable[object]]]]:
        """Return what a supervisor must run for as long as this server is to work, `follow` first."""
        return (
            ("watch-cache", self.follow),
            ("bookmarks", self.cache.send_bookmarks),
            ("event-retention", self._events.run),
            ("clusterrole-aggregation", self._aggregation.run),
            ("service-ips", self._service_ips.run),
            ("custom-kinds", self._custom.run),
            ("loop-lag", self.metrics.measure_lag),
        )

    async def follow(self) -> None:
        """Keep the cache current."""
        await self.cache.follow()

    def transport(self, user: User) -> FrontDoor:
        """Return the door through which a component of this process calls, as `user`."""
        return FrontDoor(self.registry, self.chain, user)

    async def publish_endpoints(self, address: str, port: int) -> None:
        """Let the `kubernetes` Service lead to `address`:`port`."""
        await bootstrap.publish_endpoints(self.registry, address, port)

    async def publish_dns(self, addresses: Sequence[str]) -> Sequence[str]:
        """Let the `kube-dns` Service lead to the cluster's DNS at `addresses`; return the Service's own ones.

        It has one of each family that the DNS has: the tenth of the range, unless it had others already or somebody
        else's Service has that one.
        """
        spoken = {ip_address(address).version for address in addresses}
        ranges = [held for held in self.addresses.ranges if held.network.version in spoken]
        usual = [(held, str(held.network[_DNS_PLACE])) for held in ranges]
        free = [address for held, address in takewhile(lambda pair: pair[0].is_free(pair[1]), usual)]
        await bootstrap.ensure(self.registry, bootstrap.dns_service(free, is_dual=len(ranges) > 1))
        await bootstrap.publish_dns(self.registry, addresses)
        made = self.registry.find(r.SERVICES, "kube-system", "kube-dns")
        return made.view(r.SERVICES.type).spec.cluster_ips if made is not None else free

    async def set_node_ranges(self, name: str, ranges: Sequence[str]) -> None:
        """Let the Pods of a Node, if there is one of that name, have their addresses in other ranges than before."""
        await set_node_ranges(self.registry, name, ranges)

    def use_identity(self, authentication: Authentication, issuer: TokenIssuer | None = None) -> None:
        """Answer reviews by this authentication, and token requests by this issuer.

        Apart from the constructor, because both look accounts up in this server's own cache (`registry.find`).
        """
        reviews = Reviews(self.authorizer, self.authorization.rbac, authentication)
        self.chain.extensions.append(ReviewsExtension(reviews, self.clock))
        if issuer is not None:
            self.chain.extensions.append(IssuerExtension(issuer))
            self.handler.subresources["serviceaccounts", "token"] = TokenSubresource(issuer, self.registry)

    def http(self, authenticator: Authenticator, proxy: KubeletProxy | None = None) -> HttpServer:
        """Return a server for sockets; `listen` on as many as are wanted. Closed by `close`, or by itself."""
        from podling.apiserver.http import HttpServer

        made = HttpServer(self.chain, self.registry, authenticator, self.authorizer, proxy=proxy)
        self._listeners.append(made)
        return made

    async def close(self) -> None:
        """Stop listening, and end every watch, so that its reader knows; what it had not read it can still read."""
        self.health.ready["shutdown"] = lambda: "the server is shutting down"
        for listener in self._listeners:
            await listener.close()
        self._listeners.clear()
        for shelf in self.cache.shelves():
            for watcher in shelf.watchers():
                watcher.close()

    def _store_wrong(self) -> str:
        behind = self.registry.store.revision - self.cache.revision
        return f"the store is {behind} revisions ahead of the cache" if behind > _TOLERATED_DELAY else ""

    def _cache_wrong(self) -> str:
        return "" if self.cache.revision else "the cache is not loaded"

    def _follow_service(self, notice: Notice) -> None:
        self.addresses.replace(notice.old, notice.new)

    def _follow_address(self, notice: Notice) -> None:
        self.addresses.reserve(notice.old, notice.new)
