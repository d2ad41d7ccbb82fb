"""The control plane, composed: an API server over a store, the controllers and the scheduler, in one process.

Owns who acts as whom (each component carries upstream's name and rights) and the order of starting: the server first,
then those that call it. Needs no sockets, so that a simulated cluster is the very same composition on another clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling import controllers
from podling.apiserver.record import User
from podling.apiserver.server import ApiServer
from podling.client.client import ApiClient
from podling.client.events import EventRecorder
from podling.client.informer import Informers
from podling.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
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

    def __init__(self, store: Store, clock: Clock, chance: Chance, supervisor: Supervisor) -> None:
        self._clock = clock
        self._chance = chance
        self._supervisor = supervisor
        self.server = ApiServer(store, clock, chance)

    async def start(self) -> None:
        """Load what is stored and make what must be there; after this the server answers."""
        for name, main in self.server.components():
            self._supervisor.component(f"apiserver {name}", main)
        await self.server.start()

    def start_components(self, root_ca: str) -> None:
        """Start the controllers and the scheduler; `root_ca` (PEM) is what Pods trust the server by."""
        controllers.run(
            self._supervisor,
            lambda account: self.client(account_user(account)),
            self.informers(CONTROLLERS),
            self._clock,
            root_ca,
        )
        client = self.client(SCHEDULER)
        recorder = self.recorder(client, "default-scheduler")
        informers = self.informers(SCHEDULER)
        Scheduler(client, informers, recorder, self._clock, self._chance, self._supervisor).start()

    def client(self, user: User) -> ApiClient:
        """Return a client of this process that acts as `user`."""
        return ApiClient(self.server.transport(user), manager=user.name.rsplit(":", 1)[-1])

    def informers(self, user: User) -> Informers:
        """Return the shared informers of one component."""
        return Informers(self.client(user), self._clock, self._chance, self._supervisor)

    def recorder(self, client: ApiClient, component: str, host: str = "") -> EventRecorder:
        """Return a recorder whose writing is supervised."""
        made = EventRecorder(client, self._clock, component, host)
        self._supervisor.component(f"events {component} {host}".strip(), made.run)
        return made

    async def close(self) -> None:
        await self.server.close()
