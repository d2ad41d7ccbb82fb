"""One node in a test's hand: a kubelet on the simulated runtime, the real API server, virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from podling.aio.chance import Chance
from podling.aio.supervisor import Supervisor
from podling.api.resources import EVENTS, NODES, PODS
from podling.apiserver.record import User
from podling.client.client import ApiClient
from podling.client.events import EventRecorder
from podling.client.informer import Informers
from podling.client.presence import Presence
from podling.kubelet.body import Body
from podling.kubelet.kubelet import Kubelet
from podling.kubelet.machine import Machine
from podling.kubelet.settings import Settings
from podling.runtime.sim import SimRuntime
from tests.served import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from podling.api.types.core_v1 import Event, Pod
    from podling.client.informer import Informer
    from podling.runtime.sim import ImageScript, SimState

NODE = User("system:node:node", ("system:nodes", "system:authenticated"))
GIVEN = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi"}


class NoNetwork:
    """The simulated runtime gives addresses itself."""

    async def attach(self, uid: str, namespace: str, name: str, netns: str) -> Sequence[str]:
        raise AssertionError("a simulated Pod needs no wiring")

    async def detach(self, uid: str) -> None: ...

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return {}


class OneNode:
    """An API server and one kubelet; `stop_kubelet` and `start_kubelet` make it restart."""

    def __init__(
        self,
        images: Mapping[str, ImageScript] | None = None,
        root: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings(root=root, addresses=("192.0.2.1",), port=0)
        self.api = Served()
        self.clock = self.api.clock
        self.images = images
        self.client = ApiClient(self.api.door)
        self.runtime: SimRuntime
        self.kubelet: Kubelet
        self.supervisor: Supervisor
        self.watching: Supervisor
        self.seen: Informer[Pod]

    async def __aenter__(self) -> Self:
        await self.api.__aenter__()
        self.watching = await Supervisor(self.clock, "watching").__aenter__()
        self.seen = Informers(self.client, self.clock, Chance(3), self.watching).of(PODS)
        await self.start_kubelet()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_kubelet()
        await self.watching.__aexit__(None, None, None)
        await self.api.__aexit__(None, None, None)

    async def start_kubelet(self, state: SimState | None = None) -> None:
        clock = self.clock
        self.supervisor = await Supervisor(clock, "node").__aenter__()
        chance = Chance(2)
        self.runtime = SimRuntime(clock, chance, images=self.images, state=state)
        client = ApiClient(self.api.server.transport(NODE))
        recorder = EventRecorder(client, clock, "kubelet", "node")
        self.supervisor.component("events", recorder.run)
        self.kubelet = Kubelet(
            "node",
            Presence(client, Informers(client, clock, chance, self.supervisor), recorder),
            Body(Machine(capacity=GIVEN), self.runtime, NoNetwork(), wire=self.runtime),
            clock,
            self.supervisor,
            self.settings,
        )
        await self.kubelet.start()
        await clock.settle()

    async def stop_kubelet(self) -> SimState:
        """End the kubelet as a kill would; what runs stays in the state that is returned."""
        state = self.runtime.snapshot()
        await self.runtime.close()
        await self.supervisor.__aexit__(None, None, None)
        assert self.supervisor.failures == 0
        return state

    async def create(self, name: str = "web", script: str = "", **spec: Any) -> None:
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": {"sim.podling.dev/script": script} if script else {}},
            "spec": {
                "nodeName": "node",
                "automountServiceAccountToken": False,
                "containers": [{"name": "web", "image": "busybox"}],
                **spec,
            },
        }
        await self.api.post("/api/v1/namespaces/default/pods", body)

    async def pod(self, name: str = "web") -> Pod | None:
        pods = {pod.metadata.name: pod for pod in await self.client.list(PODS, "default")}
        return pods.get(name)

    async def delete(self, name: str = "web", grace: int | None = None) -> None:
        await self.client.delete(PODS, name, "default", grace=grace)

    async def until(self, holds: Callable[[Pod | None], bool], name: str = "web", limit: float = 3600) -> float:
        """Let time pass until the Pod is so; return the instant since the world's beginning."""
        return await self.clock.run_until(lambda: holds(self.seen.get(name, "default")), limit)

    async def events(self, name: str = "web") -> Sequence[Event]:
        await self.clock.settle()
        found = [e for e in await self.client.list(EVENTS, "default") if e.involved_object.name == name]
        return sorted(found, key=lambda event: event.metadata.name)

    async def node(self) -> Any:
        return await self.client.get(NODES, "node")


def running(pod: Pod | None) -> bool:
    return pod is not None and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def gone(pod: Pod | None) -> bool:
    return pod is None


def phase(wanted: str) -> Callable[[Pod | None], bool]:
    return lambda pod: pod is not None and pod.status.phase == wanted
