"""Debian's kubectl 1.20: SPDY only, no `events`, OpenAPI v2 as protobuf. What it has, works."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.running import IMAGE, RunningCluster, eventually, forwarded_pages, pod_manifest, terminal

pytestmark = pytest.mark.root

OLD = Path(__file__).parents[2] / ".tools" / "kubectl-debian"


@pytest.fixture
def old(cluster: RunningCluster):
    if not OLD.exists():
        pytest.skip("Debian's kubectl is not there (make test fetches it where apt-get may)")

    def run(*words: str, **more):
        return cluster.kubectl(*words, program=str(OLD), **more)

    return run


def test_apply_get_describe_and_delete(old, cluster: RunningCluster, name: str) -> None:
    """The plain commands, validation by the published schema included."""
    assert "created" in old("apply", "-f", "-", stdin=pod_manifest(name)).stdout
    cluster.wait_ready(name)
    assert "Running" in old("get", "pod", name, "-o", "wide").stdout
    assert "Scheduled" in old("describe", "pod", name).stdout
    refused = old("apply", "-f", "-", stdin=pod_manifest(name, restartPolcy="Never"), check=False)
    assert "restartPolcy" in refused.stderr
    assert "imagePullPolicy" in old("explain", "pod.spec.containers").stdout
    assert "pods" in old("api-resources").stdout
    assert old("auth", "can-i", "create", "pods").stdout.strip() == "yes"
    old("label", "pod", name, "a=b")
    old("annotate", "pod", name, "c=d")
    old("patch", "pod", name, "-p", '{"metadata":{"labels":{"e":"f"}}}')
    assert cluster.get("pod", name)["metadata"]["labels"] == {"app": name, "a": "b", "e": "f"}
    old("delete", "pod", name, "--now")
    assert "not found" in old("get", "pod", name, check=False).stderr


def test_exec_and_cp_over_spdy(old, pod: str, tmp_path: Path) -> None:
    """exec with input, output and exit code, and cp both ways, over SPDY/3.1."""
    done = old("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert done.stderr.startswith("err\n")
    assert old("exec", "-i", pod, "--", "wc", "-c", stdin="x" * 300_000).stdout.strip() == "300000"
    (tmp_path / "in").write_bytes(os.urandom(100_000))
    old("cp", str(tmp_path / "in"), f"{pod}:/tmp/file")
    old("cp", f"{pod}:/tmp/file", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


@pytest.mark.usefixtures("old")
def test_a_terminal_over_spdy(cluster: RunningCluster, pod: str) -> None:
    """exec -it is a terminal there too."""
    shown, code = terminal(cluster, pod, str(OLD))
    assert b"done-42" in shown
    assert code == 3


def test_logs_follow(old, cluster: RunningCluster, name: str) -> None:
    """logs -f goes on to the end of a container."""
    command = ("sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.5; done")
    old("apply", "-f", "-", stdin=pod_manifest(name, *command, restartPolicy="Never"))
    eventually(lambda: cluster.get("pod", name)["status"]["phase"] != "Pending")
    assert old("logs", "-f", name).stdout == "line 1\nline 2\nline 3\n"
    old("delete", "pod", name, "--now")


def test_port_forward_over_spdy(old, cluster: RunningCluster, name: str) -> None:
    """port-forward by SPDY streams, one pair a connection."""
    command = ("sh", "-c", "mkdir -p /w; echo old but gold > /w/index.html; exec httpd -f -p 8080 -h /w")
    old("apply", "-f", "-", stdin=pod_manifest(name, *command))
    cluster.wait_ready(name)
    assert forwarded_pages(cluster, name, str(OLD)) == ["old but gold\n"] * 2
    old("delete", "pod", name, "--now")


def test_a_deployment_rolls_and_goes_back(old, name: str) -> None:
    """create, scale, set env, rollout status, history and undo, describe, explain, delete."""
    old("create", "deployment", name, f"--image={IMAGE}", "--", "sleep", "3600")
    status = ("rollout", "status", f"deployment/{name}", "--timeout=50s")
    try:
        old(*status)
        old("scale", f"deployment/{name}", "--replicas=2")
        old("set", "env", f"deployment/{name}", "A=b")
        assert "successfully rolled out" in old(*status).stdout
        lines = old("rollout", "history", f"deployment/{name}").stdout.splitlines()
        assert [line.split()[0] for line in lines[2:] if line.strip()] == ["1", "2"]
        old("rollout", "undo", f"deployment/{name}")
        old(*status)
        assert "A=b" not in old("set", "env", f"deployment/{name}", "--list").stdout
        assert "2 desired | 2 updated | 2 total | 2 available" in old("describe", "deployment", name).stdout
        assert "maxSurge" in old("explain", "deployment.spec.strategy.rollingUpdate").stdout
    finally:
        old("delete", "deployment", name)


def test_a_stateful_set_rolls_and_goes_back(old, name: str) -> None:
    """apply, scale, set env, rollout status, history and undo, describe, delete."""
    labels = {"app": name}
    container = {"name": "c", "image": IMAGE, "command": ["sleep", "3600"]}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    spec = {"replicas": 1, "serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}
    old("apply", "-f", "-", stdin=json.dumps(body))
    status = ("rollout", "status", f"statefulset/{name}", "--timeout=50s")
    try:
        old(*status)
        old("scale", f"statefulset/{name}", "--replicas=2")
        old("set", "env", f"statefulset/{name}", "A=b")
        old(*status)
        lines = old("rollout", "history", f"statefulset/{name}").stdout.splitlines()
        assert [line.split()[0] for line in lines[2:] if line.strip()] == ["1", "2"]
        old("rollout", "undo", f"statefulset/{name}")
        old(*status)
        assert "A=b" not in old("set", "env", f"statefulset/{name}", "--list").stdout
        assert "2 desired | 2 total" in old("describe", "statefulset", name).stdout
    finally:
        old("delete", "statefulset", name)
