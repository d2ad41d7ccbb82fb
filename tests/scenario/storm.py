"""Twenty nodes, five hundred Pods, and everything that may go wrong, on virtual time from one seed.

Run as a program it writes what the run came to as JSON, so that two processes can be compared:
`python -m tests.scenario.storm FILE SEED NODES PODS`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from podling.aio.chance import Chance
from podling.api.resources import PODS
from podling.runtime.sim import ImageScript
from podling.runtime.sim.runtime import Fault
from podling.testing.cluster import SimulatedCluster
from podling.testing.faults import Faults

IMAGES = {
    "web": ImageScript(pull_latency=2.0),
    "flaky": ImageScript(pull_latency=0.5, pull_failures=2, message="connection reset by peer"),
    "absent": ImageScript(pull_failures=-1, message="manifest unknown"),
}
ODDS = {"lost_events": 0.02, "broken_watches": 0.002, "conflicts": 0.02, "refusals": 0.01}


@dataclass
class Storm:
    """What a run came to."""

    log: list[str] = field(default_factory=list)
    digest: str = ""
    failures: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    instant: float = 0.0
    unsettled: list[str] = field(default_factory=list)
    dealt: dict[str, int] = field(default_factory=dict)


def manifest(number: int, chance: Chance) -> dict:
    """One Pod of a kind that chance picks."""
    kind = chance.below(10)
    image, runs, policy = "web", [{"startLatency": 0.3}], "Always"
    if kind == 0:
        runs = [{"lasts": 1 + chance.below(5), "exitCode": 1}] * (1 + chance.below(4)) + [{}]
    elif kind == 1:
        runs, policy = [{"lasts": 1 + chance.below(60)}], "Never"
    elif kind == 2:
        runs, policy = [{"lasts": 2, "exitCode": 3}], "Never"
    elif kind == 3:
        runs, policy = [{"lasts": 3, "exitCode": 3}, {"lasts": 4}], "OnFailure"
    elif kind == 4:
        image = "flaky"
    elif kind == 5:
        image = "absent"
    elif kind == 6:
        runs = [{"ignoresSigterm": True}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pod-{number}",
            "labels": {"kind": str(kind)},
            "annotations": {"sim.podling.dev/script": json.dumps({"*": {"runs": runs}})},
        },
        "spec": {
            "restartPolicy": policy,
            "terminationGracePeriodSeconds": 5 + chance.below(30),
            "containers": [{"name": "c", "image": image, "resources": {"requests": {"cpu": "100m"}}}],
        },
    }


async def storm(seed: int, nodes: int = 20, pods: int = 500, odds: dict[str, float] | None = None) -> Storm:
    chance = Chance(seed)
    faults = Faults()
    async with SimulatedCluster(nodes, seed, images=IMAGES, faults=faults) as cluster:
        for name, chances in (odds or ODDS).items():
            setattr(faults, name, chances)
        names = list(cluster.nodes)
        alive: list[str] = []
        for number in range(pods):
            alive.append((await cluster.apply(manifest(number, chance)))[0]["metadata"]["name"])
            if number % 5 == 4:
                await cluster.advance(chance.below(2))
                # By force, every other one: of that the kubelet hears by the watch alone.
                grace = 0 if chance.below(2) else None
                name = alive.pop(chance.below(len(alive)))
                await cluster.client.delete(PODS, name, "default", grace=grace)
            if number % 50 == 49:
                verb = ("run_sandbox", "create_container", "start_container")[chance.below(3)]
                runtime = cluster.nodes[names[chance.below(nodes)]].runtime
                runtime.faults[verb] = Fault(2, 0.5, "Unavailable", "the runtime does not answer")
            if number % 60 == 59:
                await cluster.restart_kubelet(names[chance.below(nodes)], chance.below(5))
            if number in (pods // 3, 2 * pods // 3):
                await cluster.restart_api_server(3, forget_history=number > pods // 2)
            if number == pods // 2:
                await cluster.restart_scheduler(1)
                await cluster.restart_controllers(1)
                await cluster.restart_node(names[chance.below(nodes)])
        await cluster.advance(60)
        faults.heal()
        # The longest back-off after the short series above, and the relist of whatever watch lost something.
        await cluster.advance(400)
        found = cluster.list(PODS)
        result = Storm(list(cluster.log()), cluster.digest(), cluster.failures, dealt=dict(faults.dealt))
        result.instant = cluster.clock.monotonic()
        assert sorted(pod.metadata.name for pod in found) == sorted(alive)
        for pod in found:
            result.phases[pod.status.phase] = result.phases.get(pod.status.phase, 0) + 1
            expected = _expected(pod)
            ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)
            if pod.status.phase != expected or ready != (expected == "Running"):
                result.unsettled.append(
                    f"{pod.metadata.name}: {pod.metadata.labels} {pod.status.phase} ready={ready}"
                    f" on {pod.spec.node_name or 'no node'}: {pod.status.container_statuses}"
                )
        await is_true(cluster)
    return result


def _expected(pod) -> str:
    """The phase that a Pod of its kind must have come to."""
    kind = pod.metadata.labels["kind"]
    ended = [status.state.terminated for status in pod.status.container_statuses]
    if kind == "1" and any(end is not None and end.reason in ("Unknown", "StartError") for end in ended):
        return "Failed"  # its node lost power under it, or could not start it; it is never started again
    return {"1": "Succeeded", "2": "Failed", "3": "Succeeded", "5": "Pending"}.get(kind, "Running")


async def is_true(cluster: SimulatedCluster) -> None:
    """What the API says runs is what runs, on every node."""
    for name, node in cluster.nodes.items():
        said = set()
        for pod in cluster.list(PODS, fields=f"spec.nodeName={name}"):
            told = (*pod.status.init_container_statuses, *pod.status.container_statuses)
            said |= {s.container_id for s in told if s.state.running is not None}
        runs = {
            f"sim://{c.id}"
            for c in await node.runtime.list_containers()
            if c.started is not None and c.finished is None
        }
        assert said == runs, f"{name}: the API says {sorted(said)}, the runtime {sorted(runs)}"


if __name__ == "__main__":
    file, *numbers = sys.argv[1:]
    Path(file).write_bytes(msgspec.json.encode(asyncio.run(storm(*map(int, numbers)))))
