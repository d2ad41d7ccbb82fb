"""In-place resize on one node: what is given, what is refused, what is restarted, and what the status says meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podling.api.resources import PODS
from podling.runtime.sim.runtime import Fault
from tests.scenario.node import OneNode, running


def web(cpu: str, memory: str = "64Mi", **more: Any) -> list[dict[str, Any]]:
    amounts = {"cpu": cpu, "memory": memory}
    return [{"name": "web", "image": "busybox", "resources": {"requests": amounts, "limits": amounts}, **more}]


async def resize(node: OneNode, cpu: str, memory: str = "64Mi", name: str = "web") -> None:
    patch = {"spec": {"containers": [{"name": "web", "resources": web(cpu, memory)[0]["resources"]}]}}
    await node.client.patch(PODS, name, patch, namespace="default", kind="strategic", subresource="resize")
    await node.clock.settle()


async def told(node: OneNode, name: str = "web") -> tuple[str, str, dict[str, str]]:
    """What it runs with, what is set aside, and the conditions of a resize with their reasons."""
    pod = await node.pod(name)
    status = pod.status.container_statuses[0]
    conditions = {c.type: c.reason for c in pod.status.conditions if c.type.startswith("PodResize")}
    return status.resources.limits["cpu"], status.allocated_resources["cpu"], conditions


async def news(node: OneNode, pod: str = "web") -> list[tuple[str, str, dict[str, Any]]]:
    """The events of a resize: type, reason, and what the message says beside its words."""
    found = []
    for event in await node.events():
        if event.reason.startswith("Resize") and event.involved_object.name == pod:
            words, _, summary = event.message.partition(": ")
            told = json.loads(summary)
            limits = told["containers"][0]["resources"]["limits"]
            found.append(
                (
                    event.type,
                    f"{event.reason} {words}",
                    {"cpu": limits["cpu"], **{k: told[k] for k in told if k != "containers"}},
                )
            )
    return found


def test_a_resize_is_given_without_a_restart(run):
    """The runtime gets the new limits, the status says so, and the container runs on."""

    async def main():
        async with OneNode() as node:
            await node.create(containers=web("500m"))
            await node.until(running)
            assert await told(node) == ("500m", "500m", {})
            await resize(node, "2", "128Mi")
            assert await told(node) == ("2", "2", {})
            (held,) = await node.runtime.list_containers()
            assert (held.resources.cpu_quota, held.resources.cpu_shares) == (200_000, 2048)
            assert held.resources.memory_limit == 128 << 20
            assert held.resources.oom_score_adj == -997
            (sandbox,) = node.runtime.snapshot().sandboxes.values()
            assert sandbox.config.resources.cpu_quota == 200_000
            assert (await node.pod()).status.container_statuses[0].restart_count == 0
            assert (await node.pod()).status.observed_generation == 2
            assert await news(node) == [
                ("Normal", "ResizeStarted Pod resize started", {"cpu": "2", "generation": 2}),
                ("Normal", "ResizeCompleted Pod resize completed", {"cpu": "2", "generation": 2}),
            ]

    run(main())


def test_a_resize_under_way_says_so(run):
    """PodResizeInProgress while the runtime works, with the old resources; an error is told and tried again."""

    async def main():
        async with OneNode() as node:
            await node.create(containers=web("500m"))
            await node.until(running)
            node.runtime.faults["update_resources"] = Fault(1, 3.0, "Unavailable", "device or resource busy")
            await resize(node, "1")
            assert await told(node) == ("500m", "1", {"PodResizeInProgress": ""})
            await node.clock.advance(3)
            assert await told(node) == ("500m", "1", {"PodResizeInProgress": "Error"})
            await node.clock.advance(1)
            assert await told(node) == ("1", "1", {})
            reasons = [reason.split()[0] for _, reason, _ in await news(node)]
            assert reasons == ["ResizeStarted", "ResizeError", "ResizeCompleted"]

    run(main())


def test_more_than_the_node_has_is_infeasible(run):
    """PodResizePending with upstream's words; the container keeps what it has until the wish is taken back."""

    async def main():
        async with OneNode() as node:
            await node.create(containers=web("500m"))
            await node.until(running)
            await resize(node, "5")
            assert await told(node) == ("500m", "500m", {"PodResizePending": "Infeasible"})
            condition = next(c for c in (await node.pod()).status.conditions if c.type == "PodResizePending")
            assert condition.message == "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000"
            await resize(node, "500m")
            assert await told(node) == ("500m", "500m", {})
            assert await news(node) == [
                (
                    "Warning",
                    "ResizeInfeasible Pod resize Infeasible",
                    {"cpu": "5", "generation": 2, "error": condition.message},
                )
            ]

    run(main())


def test_what_others_hold_is_waited_for(run):
    """Deferred until another Pod is gone, then given; nobody is restarted."""

    async def main():
        async with OneNode() as node:
            await node.create(containers=web("500m"))
            await node.create("other", containers=web("3"))
            await node.until(running, "other")
            await resize(node, "2")
            assert await told(node) == ("500m", "500m", {"PodResizePending": "Deferred"})
            await node.delete("other", grace=1)
            await node.clock.advance(12)
            assert await told(node) == ("2", "2", {})
            reasons = [reason.split()[0] for _, reason, _ in await news(node)]
            assert reasons == ["ResizeDeferred", "ResizeStarted", "ResizeCompleted"]
            assert (await node.pod()).status.container_statuses[0].restart_count == 0

    run(main())


def test_a_resource_whose_policy_is_restart(run):
    """A change of memory restarts the container, with an event; a change of cpu does not."""

    async def main():
        async with OneNode() as node:
            policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
            await node.create(containers=web("500m", resizePolicy=policy))
            await node.until(running)
            await resize(node, "1")
            assert (await node.pod()).status.container_statuses[0].restart_count == 0
            await resize(node, "1", "256Mi")
            await node.until(lambda pod: running(pod) and pod.status.container_statuses[0].restart_count == 1, limit=1)
            status = (await node.pod()).status.container_statuses[0]
            assert status.resources.limits["memory"] == "256Mi"
            words = "Container web resize requires restart"
            assert [e.message for e in await node.events() if e.reason == "Killing"] == [words]

    run(main())


def test_a_kubelet_that_comes_back_finishes_a_resize(run):
    """What was asked for while the kubelet was away is given when it is back."""

    async def main():
        async with OneNode() as node:
            await node.create(containers=web("500m"))
            await node.until(running)
            state = await node.stop_kubelet()
            await resize(node, "1")
            await node.start_kubelet(state)
            await node.clock.advance(1)
            assert await told(node) == ("1", "1", {})
            assert (await node.pod()).status.container_statuses[0].restart_count == 0

    run(main())


async def resize_whole(node: OneNode, cpu: str, memory: str = "64Mi") -> None:
    amounts = {"cpu": cpu, "memory": memory}
    patch = {"spec": {"resources": {"requests": amounts, "limits": amounts}}}
    await node.client.patch(PODS, "web", patch, namespace="default", kind="strategic", subresource="resize")
    await node.clock.settle()


async def told_whole(node: OneNode) -> tuple[str, str, dict[str, str]]:
    """What the Pod runs with as a whole, what is set aside, and the conditions of a resize with their reasons."""
    status = (await node.pod()).status
    conditions = {c.type: c.reason for c in status.conditions if c.type.startswith("PodResize")}
    return status.resources.limits["cpu"], status.allocated_resources["cpu"], conditions


def test_a_pod_is_resized_as_a_whole(run):
    """Its own cgroup grows and shrinks, no container's does; what there is no room for waits or is infeasible."""

    async def main():
        async with OneNode() as node:
            amounts = {"cpu": "1", "memory": "64Mi"}
            own = {"requests": amounts, "limits": amounts}
            await node.create(containers=[{"name": "web", "image": "busybox"}], resources=own)
            await node.create("other", containers=web("2"))
            await node.until(running)

            def held() -> tuple[int | None, int | None, int | None]:
                sandbox = next(s for s in node.runtime.snapshot().sandboxes.values() if s.config.name == "web")
                resources = sandbox.config.resources
                return resources.cpu_shares, resources.cpu_quota, resources.memory_limit

            assert (await told_whole(node), held()) == (("1", "1", {}), (1024, 100_000, 64 << 20))
            await resize_whole(node, "2", "128Mi")
            assert (await told_whole(node), held()) == (("2", "2", {}), (2048, 200_000, 128 << 20))
            await resize_whole(node, "500m")
            assert (await told_whole(node), held()) == (("500m", "500m", {}), (512, 50_000, 64 << 20))
            await resize_whole(node, "9")
            assert await told_whole(node) == ("500m", "500m", {"PodResizePending": "Infeasible"})
            await resize_whole(node, "3")
            assert await told_whole(node) == ("500m", "500m", {"PodResizePending": "Deferred"})
            await node.delete("other", grace=1)
            await node.clock.advance(12)
            assert (await told_whole(node), held()) == (("3", "3", {}), (3072, 300_000, 64 << 20))
            assert (await node.pod()).status.container_statuses[0].restart_count == 0
            told = [json.loads(e.message.partition(": ")[2]) for e in await node.events() if "Completed" in e.reason]
            assert [one["resources"]["limits"]["cpu"] for one in told] == ["2", "500m", "3"]

    run(main())


def test_a_pods_group_shrinks_with_its_containers(run):
    """After a resize down the Pod weighs what its containers ask for now."""

    async def main():
        async with OneNode() as node:
            await node.create(containers=web("2"))
            await node.until(running)
            await resize(node, "500m")
            (sandbox,) = node.runtime.snapshot().sandboxes.values()
            assert (sandbox.config.resources.cpu_shares, sandbox.config.resources.cpu_quota) == (512, 50_000)

    run(main())


@pytest.mark.parametrize("whole", [False, True])
def test_a_limit_is_not_lowered_below_what_is_in_use(run, whole):
    """PodResizeInProgress with the reason Error and both amounts, until the memory is given back; nobody is killed."""

    async def main():
        async with OneNode() as node:
            amounts = {"cpu": "1", "memory": "256Mi"}
            own = {"resources": {"requests": amounts, "limits": amounts}}
            bare = [{"name": "web", "image": "busybox"}]
            script = json.dumps({"web": {"runs": [{"memory": 100 << 20}]}})
            await node.create(
                script=script, **({"containers": bare, **own} if whole else {"containers": web("1", "256Mi")})
            )
            await node.until(running)
            await (resize_whole if whole else resize)(node, "1", "64Mi")
            conditions = (await node.pod()).status.conditions
            (condition,) = [c for c in conditions if c.type == "PodResizeInProgress"]
            what = "pod" if whole else 'container "web"'
            said = f"attempting to set {what} memory limit ({64 << 20}) below current usage ({100 << 20})"
            assert (condition.reason, condition.message) == ("Error", said)
            await (resize_whole if whole else resize)(node, "1", "128Mi")
            await node.clock.advance(10)
            pod = await node.pod()
            assert not [c for c in pod.status.conditions if c.type.startswith("PodResize")]
            assert pod.status.container_statuses[0].restart_count == 0

    run(main())
