"""A real cluster as its own processes, started and stopped by the commands that users have."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IMAGE = "podling.dev/test/busybox:1"


@dataclass
class RunningCluster:
    """A started cluster and the ways to talk to it."""

    data: Path
    port: int
    runtime: str

    def podling(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "podling.cli", *words, "--data-dir", str(self.data)],
            capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"podling {words}: {done.stdout}{done.stderr}"
        return done

    def up(self, *more: str) -> None:
        self.podling("up", "--detach", "--port", str(self.port), "--runtime", self.runtime, *more)

    @property
    def pid(self) -> int:
        return int((self.data / "lock").read_text())

    def kubectl(
        self, *words: str, stdin: str = "", check: bool = True, timeout: float = 60, program: str = "kubectl"
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, "--kubeconfig", str(self.data / "kubeconfig"), *words],
            input=stdin, capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done

    def get(self, *words: str) -> dict:
        return json.loads(self.kubectl("get", *words, "-o", "json").stdout)

    def wait_ready(self, *pods: str, seconds: int = 60) -> None:
        for pod in pods:
            self.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={seconds}s", timeout=seconds + 30)


def free_port() -> int:
    """Return a port that nobody has now, below those that the kernel gives to whoever calls: it stays free till used."""
    while True:
        number = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number


def busybox_archive(folder: Path) -> Path:
    from podling.runtime.oci.images.build import build_busybox

    build_busybox(folder / "busybox.tar", IMAGE)
    return folder / "busybox.tar"


@contextmanager
def started(folder: Path, *words: str) -> Iterator[RunningCluster]:
    """Yield a cluster in `folder`, up with the busybox image loaded; whatever happens, it is taken down again."""
    cluster = RunningCluster(folder / "data", free_port(), "oci")
    try:
        cluster.up(*words)
        cluster.podling("image", "load", str(busybox_archive(folder)))
        yield cluster
    finally:
        cluster.podling("down", check=False)


def pod_manifest(name: str, *command: str, **spec: object) -> str:
    """A Pod of one busybox container as JSON, which kubectl takes like YAML."""
    return json.dumps({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": IMAGE, "command": list(command or ("sleep", "3600"))}],
            **spec,
        },
    })  # fmt: skip


def eventually(check, seconds: float = 20.0, pause: float = 0.1):
    """Return what `check` returns once it is true; the last answer fails the test."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < end, f"never came true: {answer!r}"
        time.sleep(pause)


def terminal(cluster: RunningCluster, pod: str, program: str = "kubectl") -> tuple[bytes, int]:
    """Type a command into `exec -it POD -- sh`; return what the terminal showed and the exit code."""
    import pty
    import select

    master, slave = pty.openpty()
    process = subprocess.Popen(
        [program, "--kubeconfig", str(cluster.data / "kubeconfig"), "exec", "-it", pod, "--", "sh"],
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
    code = process.wait(15)
    os.close(master)
    return seen, code


def forwarded_pages(cluster: RunningCluster, pod: str, program: str = "kubectl") -> list[str]:
    """Forward a local port to the Pod's 8080; return what it serves, asked for twice."""
    import urllib.request

    port = free_port()
    process = subprocess.Popen(
        [program, "--kubeconfig", str(cluster.data / "kubeconfig"), "port-forward", pod, f"{port}:8080"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None

    def page() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    try:
        assert "Forwarding from" in process.stdout.readline()
        return [eventually(page), page()]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
