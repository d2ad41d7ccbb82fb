"""Every state that kubectl shows of a Pod: what leads into it and out of it, at exact instants, in a whole cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podling.api.resources import PODS
from podling.lifecycle.stages import PodStage, stage_of
from podling.runtime.sim import ImageScript
from podling.runtime.sim.runtime import Fault
from podling.testing.cluster import SimulatedCluster
from tests.scenario.lives import display, history

IMAGES = {
    "slow": ImageScript(pull_latency=3),
    "flaky": ImageScript(pull_latency=1, pull_failures=1),
}


def manifest(scripts: dict[str, list[dict[str, Any]]] | None = None, **spec: Any) -> dict[str, Any]:
    runs = {name: {"runs": runs} for name, runs in (scripts or {}).items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"sim.podling.dev/script": json.dumps(runs)}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec},
    }


def container(name: str = "c", image: str = "busybox", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": image, **more}


BAD = {"lasts": 2, "exitCode": 1}
AGAIN = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
READY = {"tcpSocket": {"port": 1}, "periodSeconds": 1}

LIVES: dict[str, tuple[dict[str, Any], list[tuple[float, str]]]] = {
    "created and ready": (
        manifest({"c": [{"startLatency": 2}]}, containers=[container(image="slow")]),
        [(0, "ContainerCreating"), (5, "Running")],
    ),
    "initialised": (
        manifest(
            {"a": [{"lasts": 3}], "b": [{"lasts": 4}], "c": [{"startLatency": 2}]},
            initContainers=[container("a"), container("b")],
        ),
        [(0, "Init:0/2"), (3, "Init:1/2"), (7, "PodInitializing"), (9, "Running")],
    ),
    "an init container that fails twice": (
        manifest({"a": [BAD, BAD, {"lasts": 1}]}, initContainers=[container("a")]),
        [(0, "Init:0/1"), (4, "Init:CrashLoopBackOff"), (14, "Init:0/1"), (15, "Running")],
    ),
    "an init container that fails for good": (
        manifest({"a": [BAD]}, initContainers=[container("a")], restartPolicy="Never"),
        [(0, "Init:0/1"), (2, "Init:Error")],
    ),
    "an init container whose image is late": (
        manifest({"a": [{"lasts": 1}]}, initContainers=[container("a", "flaky")]),
        [
            (0, "Init:0/1"),
            (1, "Init:ErrImagePull"),
            (2, "Init:ImagePullBackOff"),
            (12, "Init:0/1"),
            (13, "Running"),
        ],
    ),
    "an image that is late": (
        manifest(containers=[container(image="flaky")]),
        [(0, "ContainerCreating"), (1, "ErrImagePull"), (2, "ImagePullBackOff"), (12, "Running")],
    ),
    "an image that must be there and is not": (
        manifest(containers=[container(imagePullPolicy="Never")]),
        [(0, "ErrImageNeverPull")],
    ),
    "a crash series": (
        manifest({"c": [BAD, BAD, BAD, {}]}),
        [(0, "Running"), (4, "CrashLoopBackOff"), (14, "Running"), (16, "CrashLoopBackOff"), (36, "Running")],
    ),
    "one that ends well and is started again": (
        manifest({"c": [{"lasts": 2}, {"lasts": 2}, {}]}),
        [(0, "Running"), (4, "CrashLoopBackOff"), (14, "Running")],
    ),
    "out of memory for good": (
        manifest({"c": [{"lasts": 2, "oomKilled": True}]}, restartPolicy="Never"),
        [(0, "Running"), (2, "OOMKilled")],
    ),
    "one of two is done, the other not yet ready": (
        manifest(
            {"done": [{"lasts": 3}], "c": [{"ports": {"1": [{"refused": True}, {"after": 6}]}}]},
            containers=[container(readinessProbe=READY), container("done")],
            restartPolicy="OnFailure",
        ),
        [(0, "Running"), (3, "Completed"), (6, "NotReady")],
    ),
    "both are done in the end": (
        manifest(
            {"done": [{"lasts": 3}], "c": [{"ports": {"1": [{"refused": True}, {"after": 6}]}, "lasts": 10}]},
            containers=[container(readinessProbe=READY), container("done")],
            restartPolicy="OnFailure",
        ),
        [(0, "Running"), (3, "Completed"), (6, "NotReady"), (10, "Completed")],
    ),
    "out of memory, and again": (
        manifest({"c": [{"lasts": 2, "oomKilled": True}, {"lasts": 2, "oomKilled": True}, {}]}),
        [(0, "Running"), (4, "CrashLoopBackOff"), (14, "Running")],
    ),
    "an image with no name": (
        manifest(containers=[container(image="A B")]),
        [(0, "InvalidImageName")],
    ),
    "restarted by its rules alone": (
        manifest(
            {"c": [{"lasts": 2, "exitCode": 42}, {"lasts": 2, "exitCode": 42}, {"lasts": 2, "exitCode": 1}]},
            containers=[container(restartPolicy="Never", restartPolicyRules=[AGAIN])],
            restartPolicy="Never",
        ),
        [(0, "Running"), (4, "CrashLoopBackOff"), (14, "Running"), (16, "Error")],
    ),
    "of a policy of its own": (
        manifest({"c": [{"lasts": 2, "exitCode": 3}]}, containers=[container(restartPolicy="Never")]),
        [(0, "Running"), (2, "Error")],
    ),
    "done": (manifest({"c": [{"lasts": 4}]}, restartPolicy="OnFailure"), [(0, "Running"), (4, "Completed")]),
    "failed": (manifest({"c": [BAD]}, restartPolicy="Never"), [(0, "Running"), (2, "Error")]),
    "longer than it may": (
        manifest({"c": [{"stopLatency": 2}]}, activeDeadlineSeconds=8),
        [(0, "Running"), (10, "Error")],
    ),
    "gated": (manifest(schedulingGates=[{"name": "example.org/wait"}]), [(0, "SchedulingGated")]),
    "nowhere to go": (manifest(nodeSelector={"disk": "ssd"}), [(0, "Pending")]),
}


@pytest.mark.parametrize(("wanted", "states"), LIVES.values(), ids=LIVES)
def test_lives(run, wanted, states):
    """What is shown of a Pod, from its creation on, each state with its first instant."""

    async def main():
        async with SimulatedCluster(images=IMAGES) as cluster:
            await cluster.apply(wanted)
            assert await history(cluster, 60) == states
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize(
    ("verb", "states"),
    [
        ("create_container", [(0, "ContainerCreating"), (1, "CreateContainerError"), (1.5, "Running")]),
        ("start_container", [(0, "ContainerCreating"), (1, "RunContainerError"), (1.5, "Running")]),
        ("run_sandbox", [(0, "ContainerCreating"), (1.5, "Running")]),
    ],
)
def test_steps_that_fail_once(run, verb, states):
    """The runtime refuses one step after a second; half a second later it is tried again."""

    async def main():
        async with SimulatedCluster() as cluster:
            cluster.nodes["node-0"].runtime.faults[verb] = Fault(1, 1.0, "Unavailable", "not now")
            await cluster.apply(manifest())
            assert await history(cluster, 30) == states

    run(main())


def test_what_a_container_needs_is_missing(run):
    """CreateContainerConfigError until the ConfigMap is there, and Running within its back-off."""

    async def main():
        async with SimulatedCluster() as cluster:
            env = [{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "mode"}}}]
            await cluster.apply(manifest(containers=[container(env=env)]))
            assert await history(cluster, 5) == [(0, "CreateContainerConfigError")]
            config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"mode": "x"}}
            await cluster.apply(config)
            assert (await history(cluster, 10))[-1][1] == "Running"

    run(main())


def test_gates_are_taken_away(run):
    """SchedulingGated until the last gate is gone, then at once on its way."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(manifest(schedulingGates=[{"name": "example.org/wait"}]))
            await cluster.advance(5)
            await cluster.client.patch(
                PODS, "web", {"spec": {"schedulingGates": []}}, namespace="default", kind="merge"
            )
            assert await history(cluster, 5) == [(5, "Running")]

    run(main())


@pytest.mark.parametrize("after", [0.5, 2, 5, 9])
def test_from_any_state_to_gone(run, after):
    """Wherever deletion finds it, a Pod is Terminating or gone, and in the end nothing is left."""

    async def main():
        async with SimulatedCluster(images=IMAGES) as cluster:
            runs = {"a": [{"lasts": 2}], "c": [{"startLatency": 2, "stopLatency": 3}]}
            containers = [container(image="slow")]
            await cluster.apply(manifest(runs, initContainers=[container("a")], containers=containers))
            await cluster.advance(after)
            await cluster.client.delete(PODS, "web", "default")
            seen = await history(cluster, 40)
            assert [state for _, state in seen] in (["Terminating", "gone"], ["gone"])
            await cluster.advance(1)
            assert await cluster.nodes["node-0"].runtime.list_sandboxes() == []

    run(main())


def test_a_final_phase_stays_until_deletion(run):
    """Succeeded is shown as Completed, keeps its place over a kubelet's restart, and goes at once when deleted."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(manifest({"c": [{"lasts": 1}]}, restartPolicy="Never"))
            await cluster.advance(5)
            await cluster.restart_kubelet("node-0", 3)
            await cluster.advance(100)
            assert (display(cluster), stage_of(cluster.get(PODS, "web"))) == ("Completed", PodStage.SUCCEEDED)
            await cluster.client.delete(PODS, "web", "default")
            await cluster.run_until(lambda: cluster.get(PODS, "web") is None, 1)

    run(main())
