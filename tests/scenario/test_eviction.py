"""A node that is short of something: whom it ends, when, and what it says. Exact instants on virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from podling.api.resources import EVENTS
from podling.kubelet.settings import Settings
from podling.lifecycle.eviction import EvictionPolicy, thresholds_of
from podling.runtime.sim import ImageScript
from tests.scenario.node import OneNode, phase, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Event, Pod

MI = 1 << 20
GI = 1 << 30


def using(**run: Any) -> str:
    return json.dumps({"*": {"runs": [run]}})


def containers(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> list[dict[str, Any]]:
    return [{"name": "web", "image": "busybox", "resources": {"requests": requests or {}, "limits": limits or {}}}]


def settings(**thresholds: Any) -> Settings:
    capacity = {"cpu": "4", "memory": "1Gi", "ephemeral-storage": "1Gi"}
    policy = EvictionPolicy(thresholds_of(**thresholds))
    return Settings(addresses=("192.0.2.1",), port=0, eviction=policy, capacity=capacity)


def pressure(name: str, node: Any) -> tuple[str, str, str]:
    condition = next(c for c in node.status.conditions if c.type == name)
    return condition.status, condition.reason, condition.message


async def said(node: OneNode, reason: str) -> Sequence[Event]:
    await node.clock.settle()
    return [event for event in await node.client.list(EVENTS, "default") if event.reason == reason]


def test_three_classes_go_in_order_one_at_a_time(run) -> None:
    """BestEffort goes first, then the Burstable Pod above its request; the Guaranteed one and the critical stay."""

    async def main() -> None:
        async with OneNode(settings=settings(hard={"memory.available": "300Mi"})) as node:
            same = {"cpu": "100m", "memory": "200Mi"}
            await node.create("guaranteed", using(memory=200 * MI), containers=containers(same, same))
            burstable = containers({"memory": "50Mi"})
            await node.create("burstable", using(memory=300 * MI), containers=burstable)
            await node.until(running, "burstable")
            # 524 Mi are left, until a third Pod takes 400: the first look after that finds 124.
            began = node.clock.monotonic()
            await node.create("besteffort", using(memory=400 * MI, ignoresSigterm=True))
            await node.until(phase("Failed"), "besteffort")
            gone = node.clock.monotonic()
            pod = await node.pod("besteffort")
            assert pod is not None
            assert (pod.status.reason, pod.status.message) == (
                "Evicted",
                (
                    "The node was low on resource: memory. Threshold quantity: 300Mi, available: 124Mi. "
                    "Container web was using 400Mi, request is 0, has larger consumption of memory. "
                ),
            )
            target = next(c for c in pod.status.conditions if c.type == "DisruptionTarget")
            assert (target.status, target.reason, target.message) == (
                "True",
                "TerminationByKubelet",
                pod.status.message,
            )
            ended = pod.status.container_statuses[0].state.terminated
            assert (ended.exit_code, pod.status.phase) == (137, "Failed")
            # A look every 10 s, and SIGKILL one second after SIGTERM.
            assert gone - began <= 11.0 + 1e-6
            await node.clock.advance(60)
            assert [(await node.pod(name)).status.phase for name in ("burstable", "guaranteed")] == ["Running"] * 2
            await node.create("critical", using(memory=600 * MI), priorityClassName="system-node-critical")
            await node.until(phase("Failed"), "burstable")
            await node.clock.advance(60)
            assert [(await node.pod(name)).status.phase for name in ("critical", "guaranteed")] == [
                "Running",
                "Failed",
            ]
            evicted = await said(node, "Evicted")
            assert [event.involved_object.name for event in evicted] == ["besteffort", "burstable", "guaranteed"]
            assert evicted[0].metadata.annotations["offending_containers_usage"] == "400Mi"
            met = await said(node, "EvictionThresholdMet")
            assert {event.message for event in met} == {"Attempting to reclaim memory"}

    run(main())


def test_the_condition_comes_with_the_pressure_and_stays_five_minutes_longer(run) -> None:
    """MemoryPressure turns True with the next status, False 300 s after the last cause; BestEffort is refused meanwhile."""

    async def main() -> None:
        soft = {"soft": {"memory.available": "800Mi"}, "soft_grace": {"memory.available": 120}}
        async with OneNode(settings=settings(hard={}, **soft)) as node:
            assert pressure("MemoryPressure", await node.node())[0] == "False"
            await node.create("big", using(memory=500 * MI, lasts=100), restartPolicy="Never")
            await node.clock.advance(25)
            assert pressure("MemoryPressure", await node.node()) == (
                "True",
                "KubeletHasInsufficientMemory",
                "kubelet has insufficient memory available",
            )
            assert len(await said(node, "NodeHasInsufficientMemory")) == 1
            await node.create("late")
            await node.until(phase("Failed"), "late")
            late = await node.pod("late")
            assert (late.status.reason, late.status.message) == (
                "Evicted",
                "Pod was rejected: The node had condition: [MemoryPressure]. ",
            )
            await node.create("burstable", containers=containers({"memory": "10Mi"}))
            await node.until(running, "burstable")
            # The grace of 120 s is never over: the Pod ended by itself after 100.
            await node.until(phase("Succeeded"), "big")
            relieved = node.clock.monotonic()
            await node.clock.run_until(lambda: not node.kubelet.housekeeping.conditions, 1000)
            assert 289.9 <= node.clock.monotonic() - relieved <= 300.1
            await node.clock.advance(11)
            assert pressure("MemoryPressure", await node.node())[:2] == ("False", "KubeletHasSufficientMemory")
            assert await said(node, "Evicted") == [e for e in await node.events("late") if e.reason == "Evicted"]

    run(main())


def test_a_soft_threshold_leaves_the_pod_its_own_grace(run) -> None:
    """Met for its whole grace, a soft threshold ends the Pod with the Pod's own time to stop."""

    async def main() -> None:
        soft = {"soft": {"memory.available": "800Mi"}, "soft_grace": {"memory.available": 30}}
        async with OneNode(settings=settings(hard={}, **soft)) as node:
            await node.create("big", using(memory=500 * MI, stopLatency=20))
            await node.until(running, "big")
            began = node.clock.monotonic()
            await node.until(phase("Failed"), "big")
            pod = await node.pod("big")
            ended = pod.status.container_statuses[0].state.terminated
            assert (pod.status.reason, ended.exit_code) == ("Evicted", 143)
            # Seen within 10 s, 30 s of grace, 20 s of stopping.
            assert 50 <= node.clock.monotonic() - began <= 60.1

    run(main())


def test_limits_of_local_storage_end_only_the_pod_that_breaks_them(run) -> None:
    """An emptyDir, a container, a Pod beyond its limit: Failed, Evicted, upstream's sentence, no DisruptionTarget."""

    async def main() -> None:
        async with OneNode(settings=settings(hard={})) as node:
            scratch: dict[str, Any] = {"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}]}
            await node.create("empty-dir", using(volumes={"scratch": 2 * MI}), **scratch)
            await node.create("within", using(volumes={"scratch": MI}), **scratch)
            limited = containers(limits={"ephemeral-storage": "4Mi"})
            await node.create("layer", using(disk=5 * MI), containers=limited)
            await node.until(phase("Failed"), "empty-dir")
            await node.until(phase("Failed"), "layer")
            messages = [(await node.pod(name)).status.message for name in ("empty-dir", "layer")]
            assert messages == [
                'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". ',
                "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ",
            ]
            pod: Pod = await node.pod("empty-dir")
            assert pod.status.reason == "Evicted"
            assert "DisruptionTarget" not in {condition.type for condition in pod.status.conditions}
            await node.clock.advance(120)
            assert running(await node.pod("within"))
            assert node.clock.monotonic() < 200

    run(main())


def test_disk_pressure_reclaims_images_before_it_ends_pods(run) -> None:
    """Unused images older than two minutes go first; a Pod only goes when that was not enough."""

    async def main() -> None:
        images = {"old": ImageScript(size=400 * MI, present=True), "busybox": ImageScript(size=10 * MI, present=True)}
        async with OneNode(images, settings=settings(hard={"nodefs.available": "50%"})) as node:
            await node.create("writer", using(disk=200 * MI))
            await node.until(running, "writer")
            await node.clock.advance(20)
            left = [image.tags for image in await node.runtime.images.list()]
            assert left == [("docker.io/library/busybox:latest",)]
            assert running(await node.pod("writer"))
            assert pressure("DiskPressure", await node.node())[:2] == ("True", "KubeletHasDiskPressure")
            await node.create("refused", containers=containers({"cpu": "1"}))
            await node.until(phase("Failed"), "refused")
            assert (await node.pod("refused")).status.message == (
                "Pod was rejected: The node had condition: [DiskPressure]. "
            )
            await node.clock.advance(320)
            await node.create("hog", using(disk=500 * MI))
            await node.until(phase("Failed"), "hog")
            assert (await node.pod("hog")).status.message.startswith(
                "The node was low on resource: ephemeral-storage. Threshold quantity: 512Mi, available: 314Mi. "
            )
            assert running(await node.pod("writer"))

    run(main())


def test_dead_containers_and_full_disks_are_cleaned(run) -> None:
    """One dead instance of each container stays; above 85 % the longest unused images go down to 80 %, or it is told."""

    async def main() -> None:
        images = {
            "one": ImageScript(size=300 * MI, present=True),
            "busybox": ImageScript(size=MI, present=True),
        }
        async with OneNode(images, settings=settings(hard={})) as node:
            await node.create("crash", using(lasts=1, exitCode=3), restartPolicy="Never")
            await node.create("filler", using(disk=700 * MI))
            await node.until(phase("Failed"), "crash")
            await node.clock.advance(300)
            tags = [tag for image in await node.runtime.images.list() for tag in image.tags]
            assert tags == ["docker.io/library/busybox:latest"]
            await node.create("more", using(disk=280 * MI))
            await node.clock.advance(620)
            failed = await said(node, "FreeDiskSpaceFailed")
            assert failed
            assert failed[0].message == (
                "Failed to garbage collect required amount of images. "
                f"Attempted to free {GI * 20 // 100 - 43 * MI} bytes, "
                "but only found 0 bytes eligible to free."
            )
            assert await said(node, "ImageGCFailed")
            assert sum(c.name == "web" for c in await node.runtime.list_containers()) == 3

    run(main())


def test_files_of_ended_and_gone_pods_are_given_back(run, tmp_path) -> None:
    """Volumes go a minute after their Pod has ended, what tells of its end stays; logs go when nobody has the Pod."""

    async def main() -> None:
        root, logs = tmp_path / "pods", tmp_path / "logs" / "pods"
        (logs / "default_gone_some-uid").mkdir(parents=True)
        given = Settings(root=root, addresses=("192.0.2.1",), port=0)
        async with OneNode(settings=given) as node:
            volumes = [{"name": "scratch", "emptyDir": {}}]
            await node.create("done", using(lasts=1), restartPolicy="Never", volumes=volumes)
            await node.create("lives", using(), volumes=volumes)
            await node.until(phase("Succeeded"), "done")
            uids = [(await node.pod(name)).metadata.uid for name in ("done", "lives")]
            kept = root / uids[0] / "containers"
            assert kept.is_dir()
            await node.clock.advance(61)
            assert [(root / uid / "volumes").exists() for uid in uids] == [False, True]
            assert kept.is_dir()
            assert not (logs / "default_gone_some-uid").exists()

    run(main())


def test_a_node_at_rest_asks_no_pod_for_its_use(run) -> None:
    """While no threshold calls and no Pod has a limit of its own, only the node's own numbers are read."""

    async def main() -> None:
        async with OneNode(settings=settings(hard={"memory.available": "100Mi"})) as node:
            await node.create("web", using(memory=10 * MI))
            await node.until(running)
            stats = node.kubelet.housekeeping.stats
            asked: list[int] = []
            real = stats.pods

            async def counted(pods: Any, *, disk: bool = True) -> Any:
                asked.append(len(pods))
                return await real(pods, disk=disk)

            stats.pods = counted  # type: ignore[method-assign]
            await node.clock.advance(600)
            assert asked == []
            await node.create("hungry", using(memory=950 * MI))
            await node.until(phase("Failed"), "hungry")
            assert asked == [2]

    run(main())
