"""Limits and pressures on real containers: who is killed, who is evicted, in which order, and in which words.

The node is told that most of the machine's memory is somebody else's, so that a few hundred MB are all that Pods have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.linux import cgroup
from tests.conftest import missing_for_containers
from tests.running import IMAGE, RunningCluster, busybox_archive, eventually, free_port, pod_manifest

pytestmark = pytest.mark.root

_POD_MEMORY = 400
_THRESHOLD = 150
_MI = 1 << 20


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    data = tmp_path_factory.mktemp("resources") / "data"
    total = int(Path("/proc/meminfo").read_text().split()[1])
    config = data.parent / "kubelet.json"
    config.write_text(json.dumps({
        "kind": "KubeletConfiguration",
        "evictionHard": {"memory.available": f"{_THRESHOLD}Mi"},
        "evictionMonitoringPeriod": "1s",
        "evictionPressureTransitionPeriod": "3s",
        "systemReserved": {"memory": f"{total - _POD_MEMORY * 1024}Ki"},
        "podPidsLimit": 64,
    }))  # fmt: skip
    running = RunningCluster(data, free_port(), "oci")
    try:
        running.up("--kubelet-config", str(config))
        running.podling("image", "load", str(busybox_archive(data.parent)))
        yield running
    finally:
        running.podling("down", check=False)


def pod(name: str, *command: str, resources: dict | None = None, **spec: object) -> str:
    container = {"name": "main", "image": IMAGE, "command": list(command), "resources": resources or {}}
    return pod_manifest(name, containers=[container], terminationGracePeriodSeconds=1, **spec)


def holding(mebibytes: int) -> tuple[str, ...]:
    """A command that keeps this much memory: a block that is read whole and that nobody takes."""
    return ("sh", "-c", f"dd if=/dev/zero bs={mebibytes}M count=1 | sleep 3600")


def state(cluster: RunningCluster, name: str) -> dict:
    return cluster.get("pod", name)["status"]


def ended(cluster: RunningCluster, name: str) -> dict:
    """Return the status of a Pod that has ended."""
    return eventually(lambda: (s := state(cluster, name))["phase"] in {"Failed", "Succeeded"} and s, seconds=60)


def terminated(status: dict) -> dict:
    return status["containerStatuses"][0]["state"]["terminated"]


def test_a_container_beyond_its_memory_is_killed(cluster: RunningCluster) -> None:
    """The first process out of memory: OOMKilled, exit code 137, and the Pod has failed."""
    limited = {"limits": {"memory": "24Mi"}}
    cluster.kubectl("apply", "-f", "-", stdin=pod("oom", "tail", "/dev/zero", resources=limited, restartPolicy="Never"))
    end = terminated(ended(cluster, "oom"))
    assert (end["reason"], end["exitCode"]) == ("OOMKilled", 137)
    cluster.kubectl("delete", "pod", "oom", "--now")


def test_a_child_beyond_the_memory_is_killed(cluster: RunningCluster) -> None:
    """A child out of memory: the shell goes on under cgroup version 1, and what it comes to is told as OOMKilled."""
    limited = {"limits": {"memory": "24Mi"}}
    script = "tail /dev/zero; code=$?; sleep 1; exit $code"
    cluster.kubectl(
        "apply", "-f", "-", stdin=pod("child", "sh", "-c", script, resources=limited, restartPolicy="Never")
    )
    end = terminated(ended(cluster, "child"))
    assert (end["reason"], end["exitCode"]) == ("OOMKilled", 137)
    cluster.kubectl("delete", "pod", "child", "--now")


def test_the_tree_of_control_groups(cluster: RunningCluster) -> None:
    """Shares, quota and limits of classes, Pods and containers stand where upstream's kubelet puts them."""
    resources = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    cluster.kubectl("apply", "-f", "-", stdin=pod("burstable", "sleep", "3600", resources=resources))
    cluster.kubectl("apply", "-f", "-", stdin=pod("besteffort", "sleep", "3600"))
    cluster.wait_ready("burstable", "besteffort")
    hierarchies = cgroup.detect()
    root = _root(cluster, hierarchies)

    def value(controller: str, first: str, second: str, *path: str) -> str:
        top = hierarchies.v1.get(controller)
        name = first if top is not None else second
        return Path(top or hierarchies.v2 or "", root.strip("/"), *path, name).read_text().strip()

    unified = hierarchies.unified
    uid = cluster.get("pod", "burstable")["metadata"]["uid"]
    assert value("memory", "memory.limit_in_bytes", "memory.max") == str(_POD_MEMORY * _MI)
    assert eventually(
        lambda: value("cpu", "cpu.shares", "cpu.weight", "burstable") == ("10" if unified else "256"), seconds=5
    )
    assert value("cpu", "cpu.shares", "cpu.weight", "besteffort") == ("1" if unified else "2")
    mine = ("burstable", f"pod{uid}")
    assert value("memory", "memory.limit_in_bytes", "memory.max", *mine) == str(64 * _MI)
    assert value("pids", "pids.max", "pids.max", *mine) == "64"
    if not unified:
        assert value("cpu", "cpu.shares", "", *mine) == "256"
        assert value("cpu", "cpu.cfs_quota_us", "", *mine) == "50000"
        [container] = [it for it in Path(hierarchies.v1["cpu"], root.strip("/"), *mine).iterdir() if it.is_dir()]
        assert (container / "cpu.cfs_quota_us").read_text().strip() == "50000"
    for name in ("burstable", "besteffort"):
        cluster.kubectl("delete", "pod", name, "--now")


def test_a_pod_is_resized_as_a_whole(cluster: RunningCluster) -> None:
    """A Pod with resources of its own: its control group changes, its container runs on."""
    hierarchies = cgroup.detect()
    asks = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "300m", "memory": "64Mi"}}
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("whole", resources=asks))
    cluster.wait_ready("whole")
    uid = cluster.get("pod", "whole")["metadata"]["uid"]
    name = "memory.max" if hierarchies.unified else "memory.limit_in_bytes"
    top = hierarchies.v1.get("memory") or hierarchies.v2 or ""
    file = Path(top, _root(cluster, hierarchies).strip("/"), "burstable", f"pod{uid}", name)
    assert file.read_text().strip() == str(64 * _MI)
    more = {"cpu": "300m", "memory": "96Mi"}
    patch = {"spec": {"resources": {"limits": more}}}
    cluster.kubectl("patch", "pod", "whole", "--subresource=resize", "-p", json.dumps(patch))
    assert eventually(lambda: file.read_text().strip() == str(96 * _MI), seconds=5)
    assert eventually(lambda: cluster.get("pod", "whole")["status"]["resources"]["limits"] == more, seconds=5)
    assert cluster.get("pod", "whole")["status"]["containerStatuses"][0]["restartCount"] == 0
    cluster.kubectl("delete", "pod", "whole", "--now")


def _root(cluster: RunningCluster, hierarchies: cgroup.Hierarchies) -> str:
    from podling.runtime.oci.layout import instance_id

    return f"/podling-{instance_id(cluster.data)}/kubepods"


def test_an_empty_dir_beyond_its_limit_ends_its_pod(cluster: RunningCluster) -> None:
    """More in an emptyDir than its sizeLimit: Failed, Evicted, upstream's sentence; its files are given back."""
    command = ("sh", "-c", "head -c 3000000 /dev/zero >/scratch/file; sleep 3600")
    container = {
        "name": "main",
        "image": IMAGE,
        "command": list(command),
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    volumes = [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}]
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("scratch", containers=[container], volumes=volumes))
    status = ended(cluster, "scratch")
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert status["message"] == 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '
    uid = cluster.get("pod", "scratch")["metadata"]["uid"]
    eventually(lambda: not (cluster.data / "pods" / uid / "volumes").exists())
    cluster.kubectl("delete", "pod", "scratch", "--now")


def test_a_container_beyond_its_storage_ends_its_pod(cluster: RunningCluster) -> None:
    """Writable layer and log together beyond the container's limit of ephemeral storage: evicted."""
    limited = {"limits": {"ephemeral-storage": "2Mi"}}
    command = ("sh", "-c", "head -c 5000000 /dev/zero >/file; sleep 3600")
    cluster.kubectl("apply", "-f", "-", stdin=pod("layer", *command, resources=limited))
    status = ended(cluster, "layer")
    assert status["reason"] == "Evicted"
    assert status["message"] == "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    cluster.kubectl("delete", "pod", "layer", "--now")


def test_three_classes_are_evicted_in_order(cluster: RunningCluster) -> None:
    """Memory short among Pods: BestEffort goes first, then the Burstable Pod above its request; Guaranteed stays."""
    guaranteed = {"limits": {"cpu": "200m", "memory": "40Mi"}}
    burstable = {"requests": {"memory": "16Mi"}}
    cluster.kubectl("apply", "-f", "-", stdin=pod("guaranteed", *holding(20), resources=guaranteed))
    cluster.kubectl("apply", "-f", "-", stdin=pod("burstable", *holding(60), resources=burstable))
    cluster.wait_ready("guaranteed", "burstable")
    cluster.kubectl("apply", "-f", "-", stdin=pod("besteffort", *holding(190)))
    status = ended(cluster, "besteffort")
    assert status["reason"] == "Evicted"
    assert status["message"].startswith(f"The node was low on resource: memory. Threshold quantity: {_THRESHOLD}Mi, ")
    assert "Container main was using " in status["message"]
    assert status["message"].endswith(", request is 0, has larger consumption of memory. ")
    target = next(c for c in status["conditions"] if c["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    assert [state(cluster, name)["phase"] for name in ("guaranteed", "burstable")] == ["Running", "Running"]

    second = {"limits": {"cpu": "200m", "memory": "190Mi"}}
    cluster.kubectl("apply", "-f", "-", stdin=pod("second", *holding(180), resources=second))
    status = ended(cluster, "burstable")
    assert (status["reason"], state(cluster, "guaranteed")["phase"]) == ("Evicted", "Running")
    events = cluster.get("events", "--field-selector", "reason=Evicted")["items"]
    order = [
        e["involvedObject"]["name"] for e in sorted(events, key=lambda e: e["metadata"]["name"].rpartition(".")[2])
    ]
    assert [name for name in order if name in {"besteffort", "burstable", "guaranteed", "second"}] == [
        "besteffort",
        "burstable",
    ]
    cluster.kubectl("delete", "pod", "--all", "--now")
