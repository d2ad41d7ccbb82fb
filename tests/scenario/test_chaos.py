"""Anything, in any order: chance draws what users and the world do to a cluster; afterwards everything is as asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import NAMESPACES, PODS
from podling.client.wait import ready
from podling.runtime.sim.runtime import Fault
from podling.testing.cluster import SimulatedCluster
from podling.testing.faults import Faults
from tests.scenario.storm import IMAGES, is_true

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RUNS = (
    [{}],
    [{"lasts": 2, "exitCode": 1}, {}],
    [{"ignoresSigterm": True}],
    [{"startLatency": 3}],
    [{"createLatency": 2}],
)
VERBS = ("run_sandbox", "create_container", "start_container", "stop_container", "stop_sandbox")


class Chaos:
    """One cluster and what happens to it."""

    def __init__(self, seed: int) -> None:
        self.chance = Chance(seed)
        self.faults = Faults()
        self.cluster = SimulatedCluster(4, seed, images=IMAGES, faults=self.faults)
        self.namespaces = ["default"]
        self.count = 0
        self.deeds: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (10, self.create),
            (4, self.delete),
            (1, lambda: self.cluster.restart_kubelet(self.node(), self.chance.below(20))),
            (1, lambda: self.cluster.restart_node(self.node())),
            (1, lambda: self.cluster.restart_api_server(self.chance.below(20), forget_history=self.one_in(2))),
            (1, lambda: self.cluster.restart_scheduler(self.chance.below(5))),
            (1, lambda: self.cluster.restart_controllers(self.chance.below(5))),
            (1, self.break_runtime),
            (1, self.add_namespace),
            (1, self.delete_namespace),
        ]

    def one_in(self, number: int) -> bool:
        return self.chance.below(number) == 0

    def node(self) -> str:
        return f"node-{self.chance.below(4)}"

    def pick(self, choices: Any) -> Any:
        return choices[self.chance.below(len(choices))]

    async def create(self) -> None:
        self.count += 1
        script = {
            "c": {"runs": self.pick(RUNS)},
            "init": {"runs": [{"lasts": 1}]},
            "side": {"runs": [{"startLatency": 1}]},
        }
        asks = {"requests": {"cpu": "100m"}}
        spec: dict[str, Any] = {
            "containers": [{"name": "c", "image": self.pick(("web", "flaky")), "resources": asks}],
            "terminationGracePeriodSeconds": 3 + self.chance.below(20),
        }
        if self.one_in(3):
            init = {"name": "init", "image": "web"}
            spec["initContainers"] = [init, {"name": "side", "image": "web", "restartPolicy": "Always"}]
        if self.one_in(6):
            spec["volumes"] = [{"name": "v", "configMap": {"name": "late"}}]
        metadata = {
            "name": f"pod-{self.count}",
            "namespace": self.pick(self.namespaces),
            "annotations": {"sim.podling.dev/script": json.dumps(script)},
        }
        await self.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def delete(self) -> None:
        pods = self.cluster.list(PODS)
        if pods:
            meta = self.pick(pods).metadata
            await self.cluster.client.delete(PODS, meta.name, meta.namespace, grace=self.pick((None, 0, 1)))

    async def break_runtime(self) -> None:
        fault = Fault(1 + self.chance.below(3), self.chance.below(4), self.pick(("", "Unavailable")))
        self.cluster.nodes[self.node()].runtime.faults[self.pick(VERBS)] = fault

    async def add_namespace(self) -> None:
        name = f"team-{len(self.cluster.log())}"
        await self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await self.cluster.advance(1)
        self.namespaces.append(name)

    async def delete_namespace(self) -> None:
        if len(self.namespaces) > 1:
            await self.cluster.client.delete(NAMESPACES, self.namespaces.pop(1))

    async def happen(self, steps: int) -> None:
        self.faults.lost_events, self.faults.broken_watches = 0.08, 0.01
        self.faults.conflicts, self.faults.refusals = 0.05, 0.03
        deeds = [deed for weight, deed in self.deeds for _ in range(weight)]
        for _ in range(steps):
            try:
                await self.pick(deeds)()
            except StatusError as refusal:
                # A namespace that has no ServiceAccount yet or is on its way out; a Pod that went meanwhile.
                assert refusal.code in (403, 404, 409), refusal
            await self.cluster.advance(self.chance.below(4))

    async def calm(self) -> None:
        """Take all faults back, and give what was waited for."""
        self.faults.heal()
        for node in self.cluster.nodes.values():
            node.runtime.faults.clear()
        for name in self.namespaces:
            late = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": name}}
            await self.cluster.apply(late)
        await self.cluster.advance(900)


@pytest.mark.parametrize("seed", [1, 5, 8, 13])
def test_whatever_happened_comes_right(run, seed):
    """150 deeds of users and of fate later, all that is to run is Ready, and all that is to be gone is, everywhere."""

    async def main():
        chaos = Chaos(seed)
        async with chaos.cluster as cluster:
            await chaos.happen(150)
            await chaos.calm()
            pods = cluster.list(PODS)
            wrong = [
                (pod.metadata.name, pod.spec.node_name, pod.metadata.deletion_timestamp, pod.status)
                for pod in pods
                if pod.metadata.deletion_timestamp is not None or not ready().holds(pod)
            ]
            assert wrong == []
            assert [it.metadata.name for it in cluster.list(NAMESPACES) if it.status.phase != "Active"] == []
            await is_true(cluster)
            wanted = sorted(pod.metadata.uid for pod in pods)
            held = [sandbox.uid for node in cluster.nodes.values() for sandbox in await node.runtime.list_sandboxes()]
            assert sorted(set(held)) == wanted
            assert sum(len(node.kubelet.workers) for node in cluster.nodes.values()) == len(pods)
            assert cluster.failures == 0

    run(main())
