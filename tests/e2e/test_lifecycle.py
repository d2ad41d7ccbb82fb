"""A Pod's life in real containers: probes, hooks, grace, sidecars, resize, debug. One cluster for all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import IMAGE, RunningCluster, eventually, pod_manifest, started

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with started(tmp_path_factory.mktemp("life")) as running:
        yield running


def container(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **more}


def create(cluster: RunningCluster, name: str, *containers: dict[str, Any], **spec: Any) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name, containers=list(containers), **spec))


def status(cluster: RunningCluster, name: str) -> dict[str, Any]:
    statuses = cluster.get("pod", name)["status"].get("containerStatuses", [])
    return statuses[0] if statuses else {"restartCount": 0, "ready": False}


def messages(cluster: RunningCluster, name: str, reason: str) -> list[str]:
    found = cluster.get("events", f"--field-selector=involvedObject.name={name},reason={reason}")["items"]
    return [event["message"] for event in found]


def log(cluster: RunningCluster, name: str, *words: str) -> str:
    return cluster.kubectl("logs", name, *words).stdout


def test_liveness_restarts(cluster: RunningCluster) -> None:
    """A container whose file goes is killed by its exec probe and started again; events say why."""
    probe = {"exec": {"command": ["cat", "/tmp/healthy"]}, "periodSeconds": 1, "failureThreshold": 2}
    script = "touch /tmp/healthy; sleep 2; rm /tmp/healthy; exec sleep 600"
    create(cluster, "sick", container("main", script, livenessProbe=probe), terminationGracePeriodSeconds=1)
    eventually(lambda: status(cluster, "sick")["restartCount"] >= 1, 30)
    (killing,) = messages(cluster, "sick", "Killing")
    assert killing == "Container main failed liveness probe, will be restarted"
    assert "Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory\n" in messages(
        cluster, "sick", "Unhealthy"
    )
    cluster.kubectl("delete", "pod", "sick", "--grace-period=1")


def test_a_startup_probe_gates_readiness(cluster: RunningCluster) -> None:
    """Neither started nor Ready until its server listens; then Ready by HTTP, TCP and named port."""
    script = "sleep 3; mkdir /www; echo fine > /www/healthz; exec httpd -f -p 8080 -h /www"
    web = container(
        "main",
        script,
        ports=[{"name": "web", "containerPort": 8080}],
        startupProbe={"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 30},
        readinessProbe={"httpGet": {"port": "web", "path": "/healthz"}, "periodSeconds": 1},
        livenessProbe={"httpGet": {"port": 8080, "path": "/healthz"}, "periodSeconds": 1, "failureThreshold": 1},
    )
    create(cluster, "slow", web)
    running = eventually(lambda: status(cluster, "slow").get("state", {}).get("running"), 20)
    assert not status(cluster, "slow")["ready"]
    assert running
    cluster.wait_ready("slow")
    final = cluster.get("pod", "slow")["status"]["containerStatuses"][0]
    assert (final["started"], final["restartCount"]) == (True, 0)
    assert any("connect: connection refused" in message for message in messages(cluster, "slow", "Unhealthy"))


def test_a_probe_that_hangs_and_one_that_floods_harm_nobody(cluster: RunningCluster) -> None:
    """Bounded in time and memory: a neighbour is created, Ready and gone meanwhile."""
    hangs = {"exec": {"command": ["sleep", "600"]}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 100}
    floods = {
        "exec": {"command": ["sh", "-c", "while :; do echo flood; done"]},
        **{k: hangs[k] for k in list(hangs)[1:]},
    }
    create(cluster, "hangs", container("main", "exec sleep 600", livenessProbe=hangs))
    create(cluster, "floods", container("main", "exec sleep 600", livenessProbe=floods))
    eventually(lambda: messages(cluster, "hangs", "Unhealthy") and messages(cluster, "floods", "Unhealthy"), 30)
    said = messages(cluster, "hangs", "Unhealthy")[0]
    assert said == 'Liveness probe failed: command timed out: "sleep 600" timed out after 1s'
    create(cluster, "neighbour", container("main", "exec sleep 600"))
    cluster.wait_ready("neighbour", seconds=20)
    for name in ("hangs", "floods", "neighbour"):
        cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force")


def test_hooks_and_probes_that_hang_flood_or_fork_harm_nobody(cluster: RunningCluster) -> None:
    """Whoever forgets its end is ended with its Pod, in time; a neighbour comes and goes meanwhile, memory stays."""
    flood = {"exec": {"command": ["sh", "-c", "while :; do echo flood; done"]}}
    forks = {"exec": {"command": ["sh", "-c", "for i in 1 2 3 4 5; do sleep 300 & done"]}, "periodSeconds": 1}
    bomb = {"exec": {"command": ["sh", "-c", "while :; do sleep 300 & done"]}, "periodSeconds": 1}
    few = {"limits": {"cpu": "200m", "memory": "32Mi"}}
    sleeper = "exec sleep 600"
    create(cluster, "floods-hook", container("main", sleeper, lifecycle={"postStart": flood}))
    hangs = {"preStop": {"exec": {"command": ["sleep", "600"]}}}
    create(cluster, "hangs-hook", container("main", sleeper, lifecycle=hangs), terminationGracePeriodSeconds=2)
    create(cluster, "forks", container("main", sleeper, livenessProbe=forks), terminationGracePeriodSeconds=1)
    create(
        cluster,
        "bombs",
        container("main", sleeper, resources=few, readinessProbe=bomb | {"timeoutSeconds": 1}),
        terminationGracePeriodSeconds=1,
    )
    cluster.wait_ready("hangs-hook", "forks")
    eventually(lambda: messages(cluster, "bombs", "Unhealthy"), 30)

    def descriptors_and_memory() -> tuple[int, int]:
        of = Path(f"/proc/{cluster.pid}")
        pss = next(line for line in (of / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        return len(list((of / "fd").iterdir())), int(pss.split()[1]) // 1024

    before = descriptors_and_memory()
    begun = time.monotonic()
    create(cluster, "beside", container("main", sleeper), terminationGracePeriodSeconds=1)
    cluster.wait_ready("beside", seconds=20)
    cluster.kubectl("delete", "pod", "beside", "hangs-hook", "--timeout=20s")
    time.sleep(max(0.0, begun + 4 - time.monotonic()))
    after = descriptors_and_memory()
    assert after[0] < before[0] + 30
    assert after[1] < before[1] + 40
    assert status(cluster, "forks")["restartCount"] == 0  # a probe is over with its command, whatever that left behind
    assert not status(cluster, "floods-hook")["ready"]
    begun = time.monotonic()
    cluster.kubectl("delete", "pod", "floods-hook", "forks", "bombs", "--grace-period=1", "--timeout=30s")
    assert time.monotonic() - begun < 15


def test_pre_stop_and_sigterm_share_the_grace(cluster: RunningCluster) -> None:
    """The hook runs in the living container, SIGTERM comes after it, SIGKILL at the end of the grace."""
    script = "trap 'echo term >> /proc/1/fd/1' TERM; while :; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1; sleep 1"]}}}
    create(cluster, "polite", container("main", script, lifecycle=hook), terminationGracePeriodSeconds=4)
    cluster.wait_ready("polite")
    before = time.monotonic()
    cluster.kubectl("delete", "pod", "polite", "--wait=false")
    lines = eventually(lambda: "term" in (said := log(cluster, "polite")) and said, 10)
    assert lines.split() == ["hook", "term"]
    cluster.kubectl("wait", "--for=delete", "pod/polite", "--timeout=30s")
    assert 3.5 < time.monotonic() - before < 15


def test_post_start_that_fails(cluster: RunningCluster) -> None:
    """The container is killed and the event says so; the words of the command stay out of it."""
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo secret; exit 3"]}}}
    create(cluster, "spoilt", container("main", "exec sleep 600", lifecycle=hook), terminationGracePeriodSeconds=1)
    eventually(lambda: status(cluster, "spoilt")["restartCount"] >= 1, 30)
    assert set(messages(cluster, "spoilt", "FailedPostStartHook")) == {"PostStartHook failed"}
    cluster.kubectl("delete", "pod", "spoilt", "--grace-period=0", "--force")


def test_sidecars_begin_first_and_end_last(cluster: RunningCluster) -> None:
    """The sidecar's probe gates the main container; at the end it outlives the main one."""
    listen = "trap 'echo stopped; exit 0' TERM; while :; do echo ok | nc -l -p 7000 & wait $!; done"
    sidecar = container(
        "proxy", f"sleep 1; {listen}", restartPolicy="Always",
        startupProbe={"tcpSocket": {"port": 7000}, "periodSeconds": 1, "failureThreshold": 30},
    )  # fmt: skip
    main = container("main", "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done")
    create(cluster, "pair", main, initContainers=[sidecar], terminationGracePeriodSeconds=15)
    cluster.wait_ready("pair")
    pod = cluster.get("pod", "pair")["status"]
    began = [pod[kind][0]["state"]["running"]["startedAt"] for kind in ("initContainerStatuses", "containerStatuses")]
    assert began[0] < began[1]
    cluster.kubectl("delete", "pod", "pair", "--wait=false")

    def ends() -> Any:
        found = cluster.kubectl("get", "pod", "pair", "-o", "json", check=False).stdout
        told = json.loads(found)["status"] if found else {}
        main_ended = told.get("containerStatuses", [{}])[0].get("state", {}).get("terminated")
        proxy_runs = told.get("initContainerStatuses", [{}])[0].get("state", {}).get("running")
        return "main first" if main_ended and proxy_runs else "gone" if not found else None

    assert eventually(ends, 20, 0.02) in ("main first", "gone")
    cluster.kubectl("wait", "--for=delete", "pod/pair", "--timeout=30s")


def test_all_containers_begin_anew(cluster: RunningCluster) -> None:
    """A sidecar's exit that a rule names: all die at once, init runs again, address and emptyDir stay."""
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    mounts = {"volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}
    watch = "[ $(wc -l </kept/rounds) -gt 1 ] || { sleep 2; exit 88; }; exec sleep 600"
    create(
        cluster,
        "anew",
        container("main", "trap '' TERM; echo $(wc -l </kept/rounds); while :; do sleep 1; done", **mounts),
        initContainers=[
            container("setup", "echo round >>/kept/rounds", **mounts),
            container("watcher", watch, restartPolicy="Always", restartPolicyRules=[rule], **mounts),
        ],
        volumes=[{"name": "kept", "emptyDir": {}}],
        restartPolicy="Never",
    )
    cluster.wait_ready("anew")
    address = cluster.get("pod", "anew")["status"]["podIP"]
    eventually(lambda: status(cluster, "anew")["restartCount"] == 1 and status(cluster, "anew")["ready"], 10)
    after = cluster.get("pod", "anew")["status"]
    assert after["podIP"] == address
    assert {told["name"]: told["restartCount"] for told in after["initContainerStatuses"]} == {"setup": 1, "watcher": 1}
    assert log(cluster, "anew") == "2\n"
    cluster.kubectl("delete", "pod", "anew", "--grace-period=1")


def test_resize(cluster: RunningCluster) -> None:
    """CPU and memory change in the running container's cgroup; it is not restarted, and the status says so."""
    asks = {"cpu": "100m", "memory": "32Mi"}
    create(cluster, "grows", container("main", "exec sleep 600", resources={"requests": asks, "limits": asks}))
    cluster.wait_ready("grows")
    more = {"cpu": "300m", "memory": "64Mi"}
    patch = {"spec": {"containers": [{"name": "main", "resources": {"requests": more, "limits": more}}]}}
    cluster.kubectl("patch", "pod", "grows", "--subresource=resize", "-p", json.dumps(patch))
    eventually(lambda: status(cluster, "grows").get("resources", {}).get("limits") == more, 10)
    assert status(cluster, "grows")["restartCount"] == 0
    read = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true"
    assert str(64 << 20) in cluster.kubectl("exec", "grows", "--", "sh", "-c", read).stdout


def test_debug(cluster: RunningCluster) -> None:
    """`kubectl debug` adds a container that sees the processes of the one it aims at."""
    create(cluster, "victim", container("main", "exec sleep 4321"))
    cluster.wait_ready("victim")
    words = [
        "debug",
        "victim",
        "--image",
        IMAGE,
        "--image-pull-policy=IfNotPresent",
        "--target=main",
        "-c",
        "look",
        "--",
    ]
    cluster.kubectl(*words, "sh", "-c", "ps; sleep 600")
    eventually(lambda: "sleep 4321" in cluster.kubectl("logs", "victim", "-c", "look", check=False).stdout, 20)


def test_a_termination_message(cluster: RunningCluster) -> None:
    """Of the file at most 4096 bytes, of the log the end; Never keeps the record."""
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    file = container("main", "head -c 9000 /dev/zero | tr '\\0' x > /dev/termination-log")
    logs = container("other", "echo first; echo last words; exit 1", **fallback)
    create(cluster, "wills", file, logs, restartPolicy="Never")
    eventually(lambda: cluster.get("pod", "wills")["status"]["phase"] == "Failed", 20)
    ends = {s["name"]: s["state"]["terminated"] for s in cluster.get("pod", "wills")["status"]["containerStatuses"]}
    assert ends["main"]["message"] == "x" * 4096
    assert ends["other"]["message"] == "first\nlast words\n"


def test_a_signal_of_its_own(cluster: RunningCluster) -> None:
    """A container with a stopSignal hears that, and not SIGTERM."""
    script = "trap 'echo usr1; exit 0' USR1; trap 'echo term; exit 1' TERM; while :; do sleep 0.1; done"
    create(
        cluster,
        "signalled",
        container("main", script, lifecycle={"stopSignal": "SIGUSR1"}),
        terminationGracePeriodSeconds=10,
        os={"name": "linux"},
        restartPolicy="Never",
        activeDeadlineSeconds=2,
    )
    eventually(lambda: cluster.get("pod", "signalled")["status"]["phase"] == "Failed", 20)
    assert log(cluster, "signalled").split() == ["usr1"]
    assert cluster.get("pod", "signalled")["status"]["reason"] == "DeadlineExceeded"


def test_a_shared_process_namespace(cluster: RunningCluster) -> None:
    """Containers that share it see each other's processes; those that do not, do not."""
    for name, shares in (("shared", True), ("apart", False)):
        first = container("main", "exec sleep 7654")
        second = container("other", "exec sleep 600")
        create(cluster, name, first, second, shareProcessNamespace=shares)
    cluster.wait_ready("shared", "apart")
    seen = {n: cluster.kubectl("exec", n, "-c", "other", "--", "ps").stdout for n in ("shared", "apart")}
    assert "sleep 7654" in seen["shared"]
    assert "sleep 7654" not in seen["apart"]
