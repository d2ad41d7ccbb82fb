"""The control plane, composed: an API server over a store, the controllers and the scheduler, in one process.

Owns who acts as whom (each component carries upstream's name and rights) and the order of starting: the server first,
then those that call it. Needs no sockets, so that a simulated cluster is the very same composition on another clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling import controllers
from podling.apiserver.record import User
from podling.apiserver.server import SERVICE_RANGE, ApiServer
from podling.client.client import ApiClient
from podling.client.events import EventRecorder
from podling.client.informer import Informers
from podling.client.presence import Presence
from podling.controllers.node_folders import NodeFolders
from podling.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.apiserver.event_retention import EventLimits
    from podling.client.transport import Transport
    from podling.controllers.certificates import Authority
    from podling.controllers.settings import Settings as ControllerSettings
    from podling.store.protocol import Store

_AUTHENTICATED = "system:authenticated"

ADMIN = User("kubernetes-admin", ("system:masters", _AUTHENTICATED))
SCHEDULER = User("system:kube-scheduler", (_AUTHENTICATED,))
CONTROLLERS = User("system:kube-controller-manager", (_AUTHENTICATED,))


def node_user(node: str) -> User:
    """Return as whom the kubelet of `node` calls."""
    return User(f"system:node:{node}", ("system:nodes", _AUTHENTICATED))


def account_user(name: str) -> User:
    """Return the ServiceAccount `name` of `kube-system`, as whom a controller calls."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", _AUTHENTICATED)
    return User(f"system:serviceaccount:kube-system:{name}", groups)


class ControlPlane:
    """Server, controllers and scheduler of one cluster, under a supervisor that its owner keeps."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        chance: Chance,
        supervisor: Supervisor,
        event_limits: EventLimits | None = None,
        service_ranges: Sequence[str] = (SERVICE_RANGE,),
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._supervisor = supervisor
        self.controller_settings: ControllerSettings | None = None
        """What controllers are told at their start; upstream's defaults unless set before."""
        self.folders = NodeFolders()
        """Where volumes can be made; a node's maker enters its own."""
        self.authority: Authority | None = None
        """Who signs certificates, where the cluster has keys."""
        self.server = ApiServer(store, clock, chance, event_limits=event_limits, service_cidrs=service_ranges)

    async def start(self, supervisor: Supervisor | None = None) -> None:
        """Load what is stored and make what must be there; after this the server answers.

        What runs, here and below, runs under `supervisor` where one is given: so a part can be stopped by itself.
        """
        for name, main in self.server.components():
            (supervisor or self._supervisor).component(f"apiserver {name}", main)
        await self.server.start()

    def start_components(self, root_ca: str) -> None:
        """Start the controllers and the scheduler; `root_ca` (PEM) is what Pods trust the server by."""
        self.start_controllers(root_ca)
        self.start_scheduler()

    def start_controllers(self, root_ca: str, supervisor: Supervisor | None = None) -> None:
        supervisor = supervisor or self._supervisor
        informers = self.informers(CONTROLLERS, supervisor)
        controllers.run(
            supervisor,
            lambda account: self.client(account_user(account) if account else CONTROLLERS),
            informers,
            self._clock,
            root_ca,
            self.controller_settings,
            self.folders,
            self.authority,
        )

    def start_scheduler(self, supervisor: Supervisor | None = None) -> None:
        supervisor = supervisor or self._supervisor
        client = self.client(SCHEDULER)
        recorder = self.recorder(client, "default-scheduler", supervisor=supervisor)
        informers = self.informers(SCHEDULER, supervisor)
        Scheduler(client, informers, recorder, self._clock, self._chance, supervisor).start()

    def transport(self, user: User) -> Transport:
        """Return how `user` reaches the server from within this process."""
        return self.server.transport(user)

    def client(self, user: User) -> ApiClient:
        """Return a client of this process that acts as `user`."""
        return ApiClient(self.transport(user), manager=user.name.rsplit(":", 1)[-1])

    def informers(self, user: User, supervisor: Supervisor | None = None) -> Informers:
        """Return the shared informers of one component."""
        return Informers(self.client(user), self._clock, self._chance, supervisor or self._supervisor)

    def recorder(
        self, client: ApiClient, component: str, host: str = "", supervisor: Supervisor | None = None
    ) -> EventRecorder:
        """Return a recorder whose writing is supervised."""
        made = EventRecorder(client, self._clock, component, host)
        (supervisor or self._supervisor).component(f"events {component} {host}".strip(), made.run)
        return made

    def presence(self, user: User, component: str, host: str = "", supervisor: Supervisor | None = None) -> Presence:
        """Return how a component of this process is in the cluster as `user`."""
        client = self.client(user)
        recorder = self.recorder(client, component, host, supervisor)
        return Presence(client, self.informers(user, supervisor), recorder)

    async def close(self) -> None:
        await self.server.close()
