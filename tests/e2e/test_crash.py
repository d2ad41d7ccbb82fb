"""Podling is killed at its worst moments; nothing acknowledged is lost and nothing runs twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningCluster, eventually, pod_manifest, started

pytestmark = pytest.mark.root


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with started(tmp_path_factory.mktemp("crash")) as running:
        yield running


def kill(cluster: RunningCluster) -> None:
    handle = os.pidfd_open(cluster.pid)
    os.kill(cluster.pid, signal.SIGKILL)
    import select

    select.select([handle], [], [], 10)
    os.close(handle)


def containers(cluster: RunningCluster) -> dict[str, tuple[str, int, bool]]:
    """Container id, restart count and readiness, by Pod name."""
    found = {}
    for pod in cluster.get("pods")["items"]:
        for status in pod.get("status", {}).get("containerStatuses", []):
            found[pod["metadata"]["name"]] = (status.get("containerID", ""), status["restartCount"], status["ready"])
    return found


def running_processes(mark: str) -> list[int]:
    """Processes whose command line carries `mark`: what the containers really run."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark.encode() in words and words[0] in {b"sleep", b"/bin/sleep"}:
                found.append(int(entry))
    return found


def every_second(name: str) -> dict:
    """Let every second Pod have users and processes of its own, which are held by more than a pin."""
    return {"hostUsers": False, "shareProcessNamespace": True} if int(name[-1]) % 2 else {}


def test_running_pods_outlive_podling(cluster: RunningCluster) -> None:
    """After kill -9 and `up` the same containers run: same ids, same restart counts, all Ready, none twice."""
    mark = f"36{os.getpid() % 1000:03d}"
    names = [f"steady-{number}" for number in range(5)]
    for name in names:
        cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name, "sleep", mark, **every_second(name)))
    cluster.wait_ready(*names)
    before, processes = containers(cluster), sorted(running_processes(mark))
    assert len(processes) == 5
    kill(cluster)
    assert sorted(running_processes(mark)) == processes
    cluster.up()
    cluster.wait_ready(*names)
    assert containers(cluster) == before
    assert sorted(running_processes(mark)) == processes


@pytest.mark.parametrize("pause", [0.05, 0.15, 0.3])
def test_killed_while_pods_start(cluster: RunningCluster, pause: float) -> None:
    """Killed in the middle of starting Pods: afterwards each runs exactly once and none was restarted."""
    mark = f"37{os.getpid() % 1000:03d}"
    names = [f"starting-{number}" for number in range(8)]
    manifest = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [json.loads(pod_manifest(name, "sleep", mark, **every_second(name))) for name in names],
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    time.sleep(pause)
    kill(cluster)
    cluster.up()
    cluster.wait_ready(*names)
    assert len(running_processes(mark)) == 8
    assert [count for _, count, _ in containers(cluster).values()] == [0] * 8


def test_every_acknowledged_write_survives(cluster: RunningCluster) -> None:
    """kill -9 during 1,000 concurrent creates: every acknowledged object is there afterwards, none twice."""
    import ssl

    import aiohttp

    token = cluster.kubectl("create", "token", "default", check=False).stdout.strip()
    assert token
    cluster.kubectl(
        "create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", "--serviceaccount=default:default"
    )

    async def create_until_killed() -> set[str]:
        acknowledged: set[str] = set()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        url = f"https://127.0.0.1:{cluster.port}/api/v1/namespaces/default/configmaps"
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"}, connector=aiohttp.TCPConnector(ssl=context, limit=16)
        ) as session:

            async def one(number: int) -> None:
                body = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": f"c-{number}"},
                    "data": {"n": str(number)},
                }
                try:
                    async with session.post(url, json=body) as answer:
                        if answer.status == 201:
                            acknowledged.add(f"c-{number}")
                            if len(acknowledged) == 400:
                                os.kill(cluster.pid, signal.SIGKILL)
                except aiohttp.ClientError:
                    pass

            await asyncio.gather(*(one(number) for number in range(1000)))
        return acknowledged

    acknowledged = asyncio.run(create_until_killed())
    assert 400 <= len(acknowledged) < 1000
    eventually(lambda: cluster.podling("status", check=False).returncode != 0)
    cluster.up()
    listed = [
        one["metadata"]["name"]
        for one in cluster.get("configmaps")["items"]
        if one["metadata"]["name"].startswith("c-")
    ]
    assert len(listed) == len(set(listed))
    assert acknowledged <= set(listed)


def test_down_leaves_nothing_behind(cluster: RunningCluster) -> None:
    """After `down` no mount, namespace pin, link, rule, cgroup or process of the cluster is left."""
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("last"))
    cluster.wait_ready("last")
    from podling.cluster import DataDir

    instance = DataDir(cluster.data).instance
    cluster.podling("down")
    assert instance not in Path("/proc/self/mountinfo").read_text()
    assert str(cluster.data) not in Path("/proc/self/mountinfo").read_text()
    import subprocess

    assert instance not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert not os.path.exists(f"/run/podling/{instance}")
    left = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                groups = Path(f"/proc/{entry}/cgroup").read_text()
            except OSError:
                continue
            if str(cluster.data) in text or instance in groups:
                left.append(text)
    assert left == []
    found = [path for base in ("/sys/fs/cgroup",) for path, _, _ in os.walk(base) if instance in path]
    assert found == []


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3])
def test_killed_while_a_deployment_rolls(cluster: RunningCluster, pause: float) -> None:
    """Killed in the middle of a rollout, it goes on where it was: no Pod and no ReplicaSet too many, none run twice."""
    mark, labels = f"38{os.getpid() % 1000:03d}", {"app": "rolling"}
    pod = json.loads(pod_manifest("rolling", "sleep", mark))["spec"]
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "rolling"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    status = ("rollout", "status", "deployment/rolling", "--timeout=60s")
    cluster.kubectl(*status, timeout=90)
    cluster.kubectl("set", "env", "deployment/rolling", "A=b")
    time.sleep(pause)
    kill(cluster)
    cluster.up()
    cluster.kubectl(*status, timeout=90)
    eventually(lambda: len(cluster.get("pods", "-l", "app=rolling")["items"]) == 4)
    sizes = sorted(one["spec"]["replicas"] for one in cluster.get("replicasets", "-l", "app=rolling")["items"])
    assert sizes == [0, 4]
    found = containers(cluster)
    assert [(count, ready) for _, count, ready in found.values()] == [(0, True)] * 4
    eventually(lambda: len(running_processes(mark)) == 4)


@pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet"])
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_killed_while_identities_roll(cluster: RunningCluster, kind: str, pause: float) -> None:
    """Killed in the middle of a rollout: every Pod is of the new template once, and the history has two revisions."""
    mark, labels = f"39{os.getpid() % 1000:03d}", {"app": "rolling"}
    pod = json.loads(pod_manifest("rolling", "sleep", mark))["spec"]
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    if kind == "StatefulSet":
        spec |= {"replicas": 3, "serviceName": "rolling"}
    wanted = spec.get("replicas", 1)
    manifest = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "rolling"}, "spec": spec}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    status = ("rollout", "status", f"{kind}/rolling", "--timeout=60s")
    cluster.kubectl(*status, timeout=90)
    before = {one["metadata"]["uid"] for one in cluster.get("pods", "-l", "app=rolling")["items"]}
    cluster.kubectl("set", "env", f"{kind}/rolling", "A=b")
    time.sleep(pause)
    kill(cluster)
    cluster.up()
    cluster.kubectl(*status, timeout=90)
    pods = cluster.get("pods", "-l", "app=rolling")["items"]
    assert len(pods) == wanted
    assert not before & {one["metadata"]["uid"] for one in pods}
    revisions = cluster.get("controllerrevisions", "-l", "app=rolling")["items"]
    assert sorted(one["revision"] for one in revisions) == [1, 2]
    assert [(count, ready) for _, count, ready in containers(cluster).values()] == [(0, True)] * wanted
    eventually(lambda: len(running_processes(mark)) == wanted)


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_while_a_job_runs(cluster: RunningCluster, seed: int) -> None:
    """Each of a Job's Pods is made once, runs once and is counted once, wherever Podling died between the three."""
    chance = random.Random(seed)
    pod = json.loads(pod_manifest("work", "sleep", "0.3"))["spec"] | {"restartPolicy": "Never"}
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work"},
        "spec": {"completions": 12, "parallelism": 3, "backoffLimit": 0, "template": {"spec": pod}},
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    for _ in range(4):
        time.sleep(chance.uniform(0.05, 0.8))
        kill(cluster)
        cluster.up()
    cluster.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=90s", timeout=120)
    pods = cluster.get("pods", "-l", "job-name=work")["items"]
    assert [one["status"]["phase"] for one in pods] == ["Succeeded"] * 12
    assert not any("finalizers" in one["metadata"] for one in pods)
    status = cluster.get("job", "work")["status"]
    assert (status["succeeded"], status.get("failed", 0), status["uncountedTerminatedPods"]) == (12, 0, {})
