"""A whole cluster in one process on virtual time: the same components as any other, in a test's hand.

Owns what is put in the place of the world (clock, memory store, sim runtime, in-process transports) and the verbs by
which a test moves it. Invariants: the same seed and the same calls give the same log, whatever the hash seed; time
moves inside `advance`, `run_until` and `wait` alone; when the block is left, no task is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.aio.supervisor import Supervisor
from podling.api.errors import StatusError
from podling.api.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS, NAMESPACES, STORED
from podling.apiserver.identity.authentication import Authentication, TokenFile
from podling.apiserver.identity.tokens import TokenIssuer, TokenVerifier
from podling.apiserver.verbs.selecting import scope_of
from podling.client.client import ApiClient
from podling.client.transport import Call
from podling.cluster import simulated_addresses
from podling.cluster.control_plane import ADMIN
from podling.kubelet.settings import Settings
from podling.store.memory import MemoryStore
from podling.testing.faults import Faults
from podling.testing.log import EventLog
from podling.testing.manifests import Manifests, resource_of, trees
from podling.testing.nodes import SimulatedNode
from podling.testing.plane import SimulatedPlane
from podling.testing.serving import ServingKeys
from podling.testing.signing import SimulatedKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from podling.api.resources import Resource
    from podling.api.types.core_v1 import Event
    from podling.client.wait import Condition
    from podling.controllers.settings import Settings as ControllerSettings
    from podling.runtime.sim import ImageScript

_Kind = TypeVar("_Kind")

_NO_AUTHORITY = "# A simulated cluster has no certificate authority.\n"
_LIMIT = 3600.0


class SimulatedCluster:
    """A cluster that starts in milliseconds and whose time is yours.

    >>> async with SimulatedCluster(nodes=3, seed=1) as cluster:        # doctest: +SKIP
    ...     await cluster.apply(manifest)
    ...     await cluster.run_until(lambda: cluster.get(PODS, "web").status.phase == "Running")
    """

    def __init__(
        self,
        nodes: int = 1,
        seed: int = 1,
        *,
        images: Mapping[str, ImageScript] | None = None,
        faults: Faults | None = None,
        settings: Settings | None = None,
        controllers: ControllerSettings | None = None,
        families: Sequence[str] = (simulated_addresses.IPV4,),
        start: float = 1_700_000_000.0,
        serve: bool = False,
        tls: bool = False,
    ) -> None:
        """`images` says how images behave on every node; `settings` are the kubelets' (capacity, labels, taints).

        `controllers` are grace periods and thresholds of the controllers, upstream's unless given.
        `families` are the address families of Pods, nodes and Services: IPv4, IPv6, or both, the primary one first.
        `start` is the wall time at the beginning. `serve` listens for HTTP on `url` for clients outside; time moves by
        command all the same. `tls` makes that HTTPS, without which kubectl sends no credentials; it costs certificates.
        """
        self.clock = VirtualClock(start)
        self.faults = faults or Faults()
        """The odds of what goes wrong between components and API server; the test's own `client` is spared."""
        self.store = MemoryStore(self.clock)
        self.nodes: dict[str, SimulatedNode] = {}
        self.url = ""
        """Where to find the API from outside; empty unless `serve`."""
        self.token = ""
        """The administrator's bearer token for `url`."""
        self._seed = seed
        self._chance = Chance(seed)
        self._key = SimulatedKey(self._chance)
        self._supervisor = Supervisor(self.clock, "simulation")
        self._families = simulated_addresses.checked(families)
        self._plane = SimulatedPlane(
            self.store,
            self.clock,
            self._chance,
            self._supervisor,
            self.faults,
            Chance(seed + 1),
            simulated_addresses.services(self._families),
        )
        self._plane.controller_settings = controllers
        self._count = nodes
        self._images = dict(images or {})
        self._settings = settings or Settings(port=0)
        self._serve = serve or tls
        self._pki = ServingKeys() if tls else None
        self._port = 0
        self._log = EventLog(self.store, self.clock)
        self.client = ApiClient(self._plane.transport(ADMIN), manager="podling-testing")
        """Calls as the cluster's administrator."""

    async def __aenter__(self) -> Self:
        await self._supervisor.__aenter__()
        try:
            self._supervisor.component("event log", self._log.run)
            self._identify()
            await self._plane.open(_NO_AUTHORITY)
            await self._listen()
            for _ in range(self._count):
                await self.add_node()
            await self.clock.settle()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for node in reversed(self.nodes.values()):
                await node.close()
            await self._plane.close()
        finally:
            await self._supervisor.__aexit__(None, None, None)
            await self.store.close()
            if self._pki is not None:
                self._pki.close()

    # Asking.

    def get(self, resource: Resource[_Kind], name: str, namespace: str = "default") -> _Kind | None:
        """Return an object as it is now; `None` if there is none. Never waits: for conditions of `run_until`."""
        server = self._standing().server
        found = server.registry.find(resource, namespace if resource.namespaced else "", name)
        return found.view(resource.type) if found is not None else None

    def resource(self, kind: str, api_version: str = "") -> Resource[Any]:
        """Return what `get`, `list`, `wait` and `client` know a kind by, such as a CustomResourceDefinition's.

        Its objects have their metadata typed, `spec` and `status` as plain trees. `ValueError` for what is not served.
        """
        for resource in self._served():
            if resource.kind == kind and api_version in {"", resource.api_version}:
                return resource
        raise ValueError(f"no resource serves {api_version} {kind}".replace("  ", " "))

    def _served(self) -> Sequence[Resource[Any]]:
        return [record.resource for record in self._standing().server.routes.records()]

    def list(
        self, resource: Resource[_Kind], namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Sequence[_Kind]:
        """Return objects as they are now, by namespace and name. Never waits."""
        registry = self._standing().server.registry
        record = registry.record(resource)
        scope = scope_of(record, namespace, labels, fields)
        return [found.view(resource.type) for found in registry.shelf(record).select(scope)]

    def events(self, about: str = "", namespace: str = "") -> Sequence[Event]:
        """Return the Events, in the order in which they were first told; `about` is the name of an object."""
        found = [e for e in self.list(EVENTS, namespace) if not about or e.involved_object.name == about]
        return sorted(found, key=lambda event: (event.first_timestamp, event.metadata.name))

    def log(self) -> Sequence[str]:
        """Return every committed change so far, one line each: `instant revision verb key digest`."""
        return list(self._log.lines)

    def digest(self) -> str:
        """Return one digest over `log()`: equal digests, equal runs."""
        return self._log.digest()

    @property
    def failures(self) -> int:
        """How often something in the cluster failed that nothing had reckoned with: a defect, where not provoked."""
        supervisors = [self._supervisor, *self._plane.parts().values()]
        supervisors += [node.supervisor for node in self.nodes.values() if node.supervisor is not None]
        ended = self._plane.failures + sum(node.failures for node in self.nodes.values())
        return ended + sum(supervisor.failures for supervisor in supervisors)

    # Changing.

    async def apply(self, manifests: Manifests) -> Sequence[dict[str, Any]]:
        """Create what `manifests` hold (YAML text, a path, a tree, trees), in order, and return what was stored.

        What is there already is patched (strategic merge; of custom kinds, merge). After a Namespace the controllers
        get their turn, so that it has its ServiceAccount, and after a CustomResourceDefinition, so that it is served.
        """
        made = []
        for tree in trees(manifests):
            resource = resource_of(tree, self._served())
            meta = tree.get("metadata") or {}
            namespace = meta.get("namespace") or "default"
            body = msgspec.json.encode(tree)
            try:
                answer = await self.client.raw(Call("POST", resource.path(namespace), body=body))
            except StatusError as refusal:
                if not refusal.is_already_exists:
                    raise
                kind = f"application/{'strategic-' if resource in STORED else ''}merge-patch+json"
                answer = await self.client.raw(
                    Call("PATCH", resource.path(namespace, meta["name"]), body=body, content_type=kind)
                )
            if resource in {NAMESPACES, CUSTOM_RESOURCE_DEFINITIONS}:
                await self.clock.settle()
            made.append(msgspec.json.decode(answer.body))
        return made

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.advance(seconds)

    async def run_until(self, reached: Callable[[], bool], limit: float = _LIMIT) -> float:
        """Let time pass until `reached()`; return the instant since the beginning. `TimeoutError` after `limit`."""
        return await self.clock.run_until(reached, limit)

    async def wait(
        self,
        resource: Resource[Any],
        name: str,
        wanted: Condition[Any],
        namespace: str = "default",
        limit: float = _LIMIT,
    ) -> Any:
        """Let time pass until `wanted` (from `podling.testing`) holds for an object, and return it."""
        try:
            await self.run_until(lambda: wanted.holds(self.get(resource, name, namespace)), limit)
        except TimeoutError as late:
            found = self.get(resource, name, namespace)
            seen = "it does not exist" if found is None else f"its status is {getattr(found, 'status', None)}"
            raise TimeoutError(
                f'{resource.plural} "{name}" did not come to be {wanted.text} within {limit:g} s: {seen}'
            ) from late
        return self.get(resource, name, namespace)

    # Breaking and mending.

    async def add_node(self, settings: Settings | None = None) -> SimulatedNode:
        """Add a node, named by its number; it registers at once if the API server stands."""
        number = len(self.nodes)
        chance = Chance((self._seed << 16) + number)
        node = SimulatedNode(
            number, self._plane, self.clock, chance, self._images, settings or self._settings, self._families
        )
        self.nodes[node.name] = node
        await node.start()
        return node

    async def kill_node(self, name: str) -> None:
        """Cut a node's power: its kubelet and containers are gone, and nobody tells the API."""
        await self.nodes[name].kill()

    async def restart_node(self, name: str) -> None:
        """Give a node its power back; one that runs is cut first."""
        node = self.nodes[name]
        if node.running:
            await node.kill()
        await node.start()

    async def restart_kubelet(self, name: str, down_for: float = 0.0) -> None:
        """Kill a node's kubelet and start it again; containers run on meanwhile."""
        node = self.nodes[name]
        await node.stop_kubelet()
        await self.advance(down_for)
        await node.start()

    async def restart_api_server(self, down_for: float = 0.0, *, forget_history: bool = False) -> None:
        """Kill the API server and start it again from its store.

        `forget_history` compacts the store meanwhile, so that every watch that wants to go on gets 410.
        """
        await self._plane.kill_server()
        await self.advance(down_for)
        if forget_history:
            await self.store.compact(self.store.revision)
        self._identify()
        await self._plane.start_server()
        await self._listen()

    async def restart_controllers(self, down_for: float = 0.0) -> None:
        """Kill all controllers and start them again."""
        await self._restart("controllers", down_for)

    async def restart_scheduler(self, down_for: float = 0.0) -> None:
        """Kill the scheduler and start it again."""
        await self._restart("scheduler", down_for)

    async def _restart(self, part: str, down_for: float) -> None:
        await self._plane.end(part)
        await self.advance(down_for)
        await self._plane.start_part(part)

    # From outside.

    def write_kubeconfig(self, path: Path) -> None:
        """Write a kubeconfig for `url`, so that kubectl and other clients find it; 0600."""
        if self._pki is not None:
            self._pki.write_kubeconfig(path, self.url)
            return
        named = {"cluster": "podling", "user": "podling"}
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "podling", "cluster": {"server": self.url}}],
            "users": [{"name": "podling", "user": {"token": self.token}}],
            "contexts": [{"name": "podling", "context": named}],
            "current-context": "podling",
        }
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(tree))

    def _identify(self) -> None:
        server = self._plane.server
        self.token = self.token or self._chance.hex(32)
        self._authentication = Authentication(
            self.clock,
            tokens=TokenFile({self.token: ADMIN}),
            accounts=TokenVerifier(self._key, server.registry.find),
        )
        server.use_identity(self._authentication, TokenIssuer(self._key, server.registry.find, self._chance))

    async def _listen(self) -> None:
        if self._serve:
            http = self._plane.server.http(self._authentication)
            tls = self._pki.context() if self._pki is not None else None
            self._port = await http.listen("127.0.0.1", self._port, tls=tls)
            self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._port}"

    def _standing(self) -> SimulatedPlane:
        if not self._plane.standing:
            raise self._plane.refusal()
        return self._plane
