"""A simulated cluster for tests that are plain functions: every verb runs the loop until it is done.

Owns one event loop. Between the verbs nothing runs: no task, no time. Invariant: after `close` the loop is closed and
no task is left.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from podling.aio.clock import VirtualClock
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import Event
    from podling.client.client import ApiClient
    from podling.client.wait import Condition
    from podling.kubelet.settings import Settings
    from podling.testing.cluster import SimulatedCluster
    from podling.testing.faults import Faults
    from podling.testing.manifests import Manifests
    from podling.testing.nodes import SimulatedNode

_Kind = TypeVar("_Kind")
_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class BlockingCluster:
    """`SimulatedCluster` without `await`. `run` is the way to everything that has no verb here.

    >>> with BlockingCluster(SimulatedCluster(nodes=2)) as cluster:        # doctest: +SKIP
    ...     cluster.apply(manifest)
    ...     cluster.wait(PODS, "web", ready())
    """

    def __init__(self, simulated: SimulatedCluster) -> None:
        self.simulated = simulated
        self._runner = asyncio.Runner()
        try:
            self.run(simulated.__aenter__())
        except BaseException:
            self._runner.close()
            raise

    def __enter__(self) -> BlockingCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the cluster down; tasks that the test itself started and left are an error."""
        try:
            self.run(self.simulated.__aexit__(None, None, None))
            left = [task.get_name() for task in asyncio.all_tasks(self._runner.get_loop())]
        finally:
            self._runner.close()
        if left:
            raise RuntimeError(f"tasks left behind: {left}")

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine to its end on the cluster's loop, as in `run(client.delete(PODS, "web", "default"))`."""
        return self._runner.run(work)

    def outside(
        self, function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """Run a blocking function in a thread while the cluster answers it: for clients that call `url`.

        Afterwards the components have done all that needs no time.
        """

        async def call() -> _Result:
            answer = await asyncio.to_thread(function, *args, **kwargs)
            await self.clock.settle()
            return answer

        return self.run(call())

    @property
    def client(self) -> ApiClient:
        """The administrator's; its methods are coroutines, for `run`."""
        return self.simulated.client

    @property
    def clock(self) -> VirtualClock:
        return self.simulated.clock

    @property
    def nodes(self) -> dict[str, SimulatedNode]:
        return self.simulated.nodes

    @property
    def faults(self) -> Faults:
        return self.simulated.faults

    @property
    def url(self) -> str:
        return self.simulated.url

    @property
    def token(self) -> str:
        return self.simulated.token

    @property
    def failures(self) -> int:
        return self.simulated.failures

    def get(self, resource: Resource[_Kind], name: str, namespace: str = "default") -> _Kind | None:
        return self.simulated.get(resource, name, namespace)

    def resource(self, kind: str, api_version: str = "") -> Resource[Any]:
        return self.simulated.resource(kind, api_version)

    def list(
        self, resource: Resource[_Kind], namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Sequence[_Kind]:
        return self.simulated.list(resource, namespace, labels=labels, fields=fields)

    def events(self, about: str = "", namespace: str = "") -> Sequence[Event]:
        return self.simulated.events(about, namespace)

    def log(self) -> Sequence[str]:
        return self.simulated.log()

    def digest(self) -> str:
        return self.simulated.digest()

    def apply(self, manifests: Manifests) -> Sequence[dict[str, Any]]:
        return self.run(self.simulated.apply(manifests))

    def advance(self, seconds: float) -> None:
        self.run(self.simulated.advance(seconds))

    def run_until(self, reached: Callable[[], bool], limit: float = 3600.0) -> float:
        return self.run(self.simulated.run_until(reached, limit))

    def wait(
        self,
        resource: Resource[Any],
        name: str,
        wanted: Condition[Any],
        namespace: str = "default",
        limit: float = 3600.0,
    ) -> Any:
        return self.run(self.simulated.wait(resource, name, wanted, namespace, limit))

    def add_node(self, settings: Settings | None = None) -> SimulatedNode:
        return self.run(self.simulated.add_node(settings))

    def kill_node(self, name: str) -> None:
        self.run(self.simulated.kill_node(name))

    def restart_node(self, name: str) -> None:
        self.run(self.simulated.restart_node(name))

    def restart_kubelet(self, name: str, down_for: float = 0.0) -> None:
        self.run(self.simulated.restart_kubelet(name, down_for))

    def restart_api_server(self, down_for: float = 0.0, *, forget_history: bool = False) -> None:
        self.run(self.simulated.restart_api_server(down_for, forget_history=forget_history))

    def restart_controllers(self, down_for: float = 0.0) -> None:
        self.run(self.simulated.restart_controllers(down_for))

    def restart_scheduler(self, down_for: float = 0.0) -> None:
        self.run(self.simulated.restart_scheduler(down_for))

    def write_kubeconfig(self, path: Path) -> None:
        self.simulated.write_kubeconfig(path)
