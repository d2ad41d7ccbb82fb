"""What a node reads about itself, what it throws away, and what its configuration may say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Pod
from podling.kubelet.configuration import configured, seconds
from podling.kubelet.configuration_shown import settable, shown
from podling.kubelet.settings import Settings
from podling.kubelet.stats_machine import file_system, machine_cpu_nanoseconds, machine_working_set, processes
from podling.kubelet.stats_summary import resource_metrics, summary
from podling.lifecycle.cgroups import Limits, node_limits, pod_limits
from podling.lifecycle.eviction import Signal
from podling.lifecycle.garbage import (
    DeadContainer,
    DeadSandbox,
    GarbagePolicy,
    UnusedImage,
    doomed_containers,
    doomed_images,
    doomed_sandboxes,
    to_free,
)
from podling.linux.trees import usage_of
from tests.scenario.node import OneNode, running

MI = 1 << 20


CONFIGURATION = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "evictionHard": {"memory.available": "5%"},
    "evictionSoft": {"nodefs.available": "20%"},
    "evictionSoftGracePeriod": {"nodefs.available": "1m30s"},
    "evictionMinimumReclaim": {"memory.available": "10Mi"},
    "evictionPressureTransitionPeriod": "30s",
    "evictionMaxPodGracePeriod": 20,
    "imageGCHighThresholdPercent": 70,
    "imageGCLowThresholdPercent": 60,
    "imageMinimumGCAge": "0s",
    "maxPods": 50,
    "podPidsLimit": 1024,
    "systemReserved": {"memory": "1Gi", "cpu": "100m"},
    "kubeReserved": {"memory": "512Mi"},
    "seccompDefault": True,
    "allowedUnsafeSysctls": ["kernel/msg*"],
}


def test_a_kubelet_configuration_sets_what_upstreams_does() -> None:
    """Thresholds by signal, graces as Go durations, reservations added up; the rest stays upstream's default."""
    settings = configured(Settings(), CONFIGURATION)
    told = [(t.signal, t.value.part, t.grace, t.reclaim is not None) for t in settings.eviction.thresholds]
    assert told == [
        (Signal.MEMORY, 0.05, 0.0, True),
        (Signal.NODEFS, 0.2, 90.0, False),
        (Signal.ALLOCATABLE_MEMORY, 0.05, 0.0, True),
    ]
    assert (settings.eviction.transition, settings.eviction.longest_grace, settings.eviction.period) == (30, 20, 10)
    assert (settings.garbage.high, settings.garbage.low, settings.garbage.image_age) == (70, 60, 0)
    assert (settings.seccomp_default, settings.allowed_unsafe_sysctls) == (True, ("kernel.msg*",))
    assert (settings.max_pods, settings.pod_pids_limit) == (50, 1024)
    assert settings.reserved == {"memory": "1536Mi", "cpu": "100m"}
    assert configured(Settings(), {}) == Settings()


@pytest.mark.parametrize("tree", [{}, CONFIGURATION, {"evictionHard": {}}, {"evictionHard": {"pid.available": "7.5%"}}])
def test_what_is_shown_of_settings_makes_them_again(tree: Any) -> None:
    """Defaults are told too; what a file cannot set stands beside what it can, under upstream's names."""
    settings = configured(Settings(taints=(("k", "", "NoSchedule"),)), tree)
    assert configured(Settings(taints=settings.taints), settable(settings)) == settings
    told = shown(settings)
    assert settable(settings).items() <= told.items()
    assert (told["nodeStatusReportFrequency"], told["clusterDomain"]) == ("5m0s", "cluster.local")
    assert told["registerWithTaints"] == [{"key": "k", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"evictionhard": {}}, "does not know: evictionhard"),
        ({"kind": "Pod"}, "not KubeletConfiguration"),
        ({"maxPods": "many"}, "maxPods must be a whole number"),
        ({"imageMinimumGCAge": "soon"}, 'invalid duration "soon"'),
        ({"imageGCHighThresholdPercent": 70}, "must not be above"),
        ({"evictionSoft": {"memory.available": "1Gi"}}, "grace period must be specified"),
        ({"systemReserved": {"memory": "lots"}}, "quantities must match"),
        ({"seccompDefault": "yes"}, "seccompDefault must be true or false"),
        ({"allowedUnsafeSysctls": "net.*"}, "allowedUnsafeSysctls must be a list of names"),
        ({"allowedUnsafeSysctls": ["vm.*"]}, "are not known to be namespaced"),
        ([], "is a mapping"),
    ],
)
def test_what_a_configuration_cannot_say(tree: Any, words: str) -> None:
    """An unknown field or a value that makes no sense is refused with its reason."""
    with pytest.raises(ValueError, match=words):
        configured(Settings(), tree)


def test_durations() -> None:
    """Go's durations, to the second's fraction."""
    assert [seconds(text) for text in ("1h2m3.5s", "250ms", "0", "0s")] == [3723.5, 0.25, 0, 0]


def test_the_machine_is_read_truly() -> None:
    """Memory in use, space, processes and CPU time are what the kernel says."""
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < machine_working_set() < total
    space = os.statvfs("/")
    system = file_system(Path("/"))
    assert (system.capacity, system.inodes) == (space.f_blocks * space.f_frsize, space.f_files)
    most, now = processes()
    assert 0 < now < most
    assert machine_cpu_nanoseconds() > 0


def test_a_tree_is_measured_once_each_file(tmp_path: Path) -> None:
    """Bytes on disk and inodes; a file linked twice counts once, a missing tree is nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 8192)
    os.link(tmp_path / "a" / "file", tmp_path / "again")
    (tmp_path / "out").symlink_to("/usr")
    size, inodes = usage_of(tmp_path)
    folder = (tmp_path / "a").stat().st_blocks * 512
    assert size - folder - (tmp_path / "out").lstat().st_blocks * 512 == 8192
    assert inodes == 3
    assert usage_of(tmp_path / "missing") == (0, 0)


def test_dead_containers_stay_as_long_as_somebody_may_ask_for_them() -> None:
    """The newest dead instance of each container stays; of Pods that have ended all go, if everything is to go."""
    dead = [DeadContainer(f"{name}{n}", uid, name, n, n) for uid, name in (("u", "a"), ("v", "b")) for n in range(3)]
    policy = GarbagePolicy()

    def doomed(policy: GarbagePolicy, now: float, *, all_: bool = False) -> list[str]:
        return doomed_containers(dead, policy, now, lambda uid: uid == "v", all_=all_)

    assert doomed(policy, 9) == ["b0", "a0", "b1", "a1"]
    assert doomed(policy, 9, all_=True) == ["b0", "a0", "b1", "a1", "b2"]
    assert doomed(GarbagePolicy(container_age=9), 9) == []
    sandboxes = [DeadSandbox("s0", "u", 0), DeadSandbox("t0", "v", 0)]
    newest = {"u": 1, "v": 0}
    assert doomed_sandboxes(sandboxes, newest, lambda uid: uid == "v", all_=False) == ["s0"]
    assert doomed_sandboxes(sandboxes, newest, lambda uid: uid == "v", all_=True) == ["s0", "t0"]


def test_images_go_from_the_longest_unused() -> None:
    """From 85 % of the disk down to 80 %; young ones stay, and no more go than are needed."""
    assert [to_free(GarbagePolicy(), 1000, available) for available in (160, 150, 100)] == [0, 50, 100]
    unused = [
        UnusedImage("young", 50, 950, 0),
        UnusedImage("recent", 50, 0, 900),
        UnusedImage("never", 50, 10, 0),
        UnusedImage("old", 50, 0, 100),
    ]
    assert [image.id for image in doomed_images(unused, GarbagePolicy(), 60, 1000)] == ["never", "old"]
    assert [image.id for image in doomed_images(unused, GarbagePolicy(), None, 1000)] == ["never", "old", "recent"]


def cpu_pod(*containers: dict[str, Any], **spec: Any) -> Pod:
    named = [{"name": f"c{n}", "image": "i", "resources": each} for n, each in enumerate(containers)]
    return from_tree(Pod, {"metadata": {"uid": "u"}, "spec": {"containers": named, **spec}})


def test_a_pods_cgroup_is_capped_only_where_the_whole_is_bounded() -> None:
    """One container without a limit leaves the Pod without; sidecars add up; a Pod's own limit decides alone."""
    amounts = {"cpu": "500m", "memory": "64Mi"}
    limited = {"limits": amounts, "requests": amounts}
    assert pod_limits(cpu_pod(limited, limited), 9) == Limits(1024, 100_000, 128 * MI, 128 * MI, 9)
    assert pod_limits(cpu_pod(limited, {})) == Limits(512, None, None, 64 * MI)
    sidecar = {"name": "s", "image": "i", "restartPolicy": "Always", "resources": limited}
    with_sidecar = cpu_pod(limited, initContainers=[sidecar])
    assert pod_limits(with_sidecar).memory_limit == 128 * MI
    big = {"name": "init", "image": "i", "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}
    assert pod_limits(cpu_pod(limited, initContainers=[big])).memory_limit == 1024 * MI
    own = cpu_pod({}, {}, resources={"limits": {"cpu": "1", "memory": "32Mi"}, "requests": {"cpu": "1"}})
    assert pod_limits(own).memory_limit == 32 * MI
    assert pod_limits(cpu_pod({})) == Limits(2, None, None, None)
    assert node_limits({"cpu": "2", "memory": "1Gi"}) == Limits(2048, None, 1024 * MI, None)


def test_the_summary_tells_of_nodes_pods_and_containers(run: Any) -> None:
    """Use of the node against its capacity, of each Pod and container; without disk where that is asked for."""

    async def main() -> None:
        async with OneNode() as node:
            script = '{"*": {"runs": [{"memory": 1048576, "cpu": 0.5, "disk": 4096, "volumes": {"v": 512}}]}}'
            await node.create("web", script, volumes=[{"name": "v", "emptyDir": {}}])
            await node.until(running)
            await node.clock.advance(10)
            stats = node.kubelet.housekeeping.stats
            now = node.clock.time()
            told = await summary("node", node.kubelet.pods(), stats, node.runtime, now)
            assert told["node"]["memory"]["workingSetBytes"] == MI
            assert told["node"]["fs"]["capacityBytes"] == 100 << 30
            [pod] = told["pods"]
            assert pod["podRef"]["name"] == "web"
            assert (pod["memory"]["workingSetBytes"], pod["ephemeral-storage"]["usedBytes"]) == (MI, 4096 + 512)
            assert pod["containers"][0]["cpu"]["usageCoreNanoSeconds"] == pytest.approx(5e9, rel=0.01)
            assert pod["volume"][0]["usedBytes"] == 512
            brief = await summary("node", node.kubelet.pods(), stats, node.runtime, now, disk=False)
            assert "fs" not in brief["node"]
            assert "rootfs" not in brief["pods"][0]["containers"][0]
            text = await resource_metrics(node.kubelet.pods(), stats, node.runtime)
            assert f'container_memory_working_set_bytes{{container="web",namespace="default",pod="web"}} {MI}' in text
            assert "resource_scrape_error 0" in text

    run(main())
