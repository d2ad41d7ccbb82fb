"""Debian's kubectl 1.20: SPDY only, no `events`, OpenAPI v2 as protobuf. What it has, works."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.running import RunningCluster, eventually, free_port, pod_manifest

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


def test_a_terminal_over_spdy(cluster: RunningCluster, old, pod: str) -> None:
    """exec -it is a terminal there too."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(OLD), "--kubeconfig", str(cluster.data / "kubeconfig"), "exec", "-it", pod, "--", "sh"],
        stdin=slave, stdout=slave, stderr=slave, close_fds=True,
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"tty && echo done-$((40+2)) && exit 3\n")
    seen = b""
    end = time.monotonic() + 20
    while time.monotonic() < end and b"done-42" not in seen:
        if select.select([master], [], [], 0.5)[0]:
            try:
                seen += os.read(master, 4096)
            except OSError:
                break
    assert b"done-42" in seen
    assert process.wait(15) == 3
    os.close(master)


def test_logs_follow_and_attach(old, cluster: RunningCluster, name: str) -> None:
    """logs -f to the end of a container; attach joins a running one."""
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
    port = free_port()
    process = subprocess.Popen(
        [str(OLD), "--kubeconfig", str(cluster.data / "kubeconfig"), "port-forward", name, f"{port}:8080"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "Forwarding from" in process.stdout.readline()

    def page() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    assert eventually(page) == "old but gold\n"
    assert page() == "old but gold\n"
    process.kill()
    process.wait()
    process.stdout.close()
    old("delete", "pod", name, "--now")
