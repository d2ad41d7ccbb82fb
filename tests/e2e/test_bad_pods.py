"""Pods that cannot be run as asked, on real containers: what they are told to be waiting for, and that nothing stays."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.conftest import missing_for_containers
from tests.running import RunningCluster, eventually, pod_manifest, started

pytestmark = pytest.mark.root

ABSENT = {"name": "absent", "key": "k"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster with the busybox image loaded, in which all these Pods are tried at once."""
    why = missing_for_containers()
    if why:
        pytest.skip(why)
    with started(tmp_path_factory.mktemp("bad")) as running:
        yield running


def changed(name: str, *command: str, container: dict | None = None, **spec: object) -> dict:
    manifest = json.loads(pod_manifest(name, *command, **spec))
    manifest["spec"]["containers"][0].update(container or {})
    return manifest


VOLUME = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
BAD = [
    (changed("unpullable", container={"image": "127.0.0.1:9/nope:1"}), "ImagePullBackOff", 'Failed to pull image "127.0.0.1:9/nope:1": '),
    (changed("never", container={"image": "podling.dev/absent:1", "imagePullPolicy": "Never"}), "ErrImageNeverPull", 'Container image "podling.dev/absent:1" is not present with pull policy of Never'),
    (changed("misnamed", container={"image": "UPPER/case:::x"}), "InvalidImageName", 'Failed to apply default image tag "UPPER/case:::x": couldn\'t parse image name "UPPER/case:::x": invalid reference format'),
    (changed("no-map", container={"env": [{"name": "A", "valueFrom": {"configMapKeyRef": ABSENT}}]}), "CreateContainerConfigError", 'Error: configmap "absent" not found'),
    (changed("no-secret", container={"env": [{"name": "A", "valueFrom": {"secretKeyRef": ABSENT}}]}), "CreateContainerConfigError", 'Error: secret "absent" not found'),
    (changed("rooted", container={"securityContext": {"runAsNonRoot": True}}), "CreateContainerConfigError", "Error: container has runAsNonRoot and image will run as root (pod: "),
    (changed("no-volume", container=VOLUME, volumes=[{"name": "v", "configMap": {"name": "absent"}}]), "ContainerCreating", 'MountVolume.SetUp failed for volume "v" : configmap "absent" not found'),
    (changed("no-command", "/no/such"), "CrashLoopBackOff", 'exec: "/no/such": stat /no/such: no such file or directory: unknown'),
    (changed("no-program", "nosuch"), "CrashLoopBackOff", 'exec: "nosuch": executable file not found in $PATH: unknown'),
    (changed("no-node", nodeSelector={"no": "where"}), "", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
]  # fmt: skip


def test_bad_pods_say_why_and_leave_nothing(cluster):
    """Each waits for upstream's reason with upstream's sentence in an Event; deleted, all are gone, node and all else well."""
    items = [manifest for manifest, _, _ in BAD]
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def wrong() -> list[str]:
        pods = {pod["metadata"]["name"]: pod["status"] for pod in cluster.get("pods")["items"]}
        events = cluster.get("events")["items"]
        found = []
        for manifest, reason, sentence in BAD:
            name = manifest["metadata"]["name"]
            told = [e["message"] for e in events if e["involvedObject"]["name"] == name]
            states = [c["state"].get("waiting", {}).get("reason", "") for c in pods[name].get("containerStatuses", ())]
            if states != ([reason] if reason else []) or not any(sentence in text for text in told):
                found.append(f"{name}: {states} {told}")
        return found

    eventually(lambda: not wrong() or None, seconds=40, pause=0.5)
    told = [e["reason"] for e in cluster.get("events")["items"] if e["involvedObject"]["name"] == "misnamed"]
    assert "Pulling" not in told
    ended = cluster.get("pod", "no-command")["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    cluster.kubectl("delete", "pod", "--all", "--wait=true", timeout=60)
    assert cluster.get("pods")["items"] == []
    assert cluster.kubectl("get", "--raw", "/readyz").stdout == "ok"
    eventually(lambda: not list((cluster.data / "pods").iterdir()))
    mounts = subprocess.run(["mount"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in mounts.splitlines() if "overlay" in line and str(cluster.data) in line]


def test_a_container_that_floods_its_log_is_rotated(cluster):
    """A log that grew far beyond 10 MiB at once is moved away, and what is written afterwards can be read."""
    flood = "yes 0123456789012345678901234567890123456789 | head -c 20000000; while sleep 0.5; do echo still here; done"
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("flood", "sh", "-c", flood))
    cluster.wait_ready("flood")
    eventually(lambda: list((cluster.data / "logs").rglob("0.log.*")), seconds=40, pause=0.5)
    eventually(lambda: "still here" in cluster.kubectl("logs", "flood").stdout)
    assert len(cluster.kubectl("logs", "flood").stdout) < 1_000_000
    cluster.kubectl("delete", "pod", "flood", "--now")


def test_a_fork_bomb_dies_when_it_is_told(cluster):
    """Hundreds of processes that share a fifth of a CPU and 32 MiB hold neither the node nor their own end up."""
    limits = {"resources": {"limits": {"cpu": "200m", "memory": "32Mi"}}}
    bomb = changed("bomb", "sh", "-c", "f(){ f|f & }; f; sleep 3600", container=limits)
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(bomb))
    cluster.wait_ready("bomb")
    time.sleep(3)  # for the bomb to go off; how far it comes is the machine's
    cluster.kubectl("delete", "pod", "bomb", "--wait=true", timeout=30)
    assert cluster.kubectl("get", "--raw", "/readyz").stdout == "ok"
