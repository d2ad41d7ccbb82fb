"""Debian's CNI plugins wire real Pods: reached, mapped to a port of the node, kept over a kill, taken back."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest
from tests.two_nodes import TCP, Caller, ask

PLUGINS = Path("/usr/lib/cni")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not (PLUGINS / "ptp").exists(), reason="containernetworking-plugins is not installed"),
]
SUBNET = f"172.29.{os.getpid() % 256}.0/24"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    folder = tmp_path_factory.mktemp("cni")
    (folder / "net.d").mkdir()
    ipam = {"type": "host-local", "subnet": SUBNET, "dataDir": str(folder / "leases"), "routes": [{"dst": "0.0.0.0/0"}]}
    configuration = {
        "cniVersion": "1.0.0",
        "name": f"podling{os.getpid()}",
        "plugins": [
            {"type": "ptp", "ipMasq": True, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    (folder / "net.d" / "10-test.conflist").write_text(json.dumps(configuration))
    running = RunningCluster(folder / "data", free_port(), "oci")
    try:
        running.up("--cni", str(folder / "net.d"))
        running.podling("image", "load", str(busybox_archive(folder)))
        yield running
    finally:
        running.podling("down", check=False)


def leases(cluster: RunningCluster) -> list[str]:
    found = (cluster.data.parent / "leases").glob("*/172.*")
    return sorted(path.name for path in found)


def _ends(call: dict) -> tuple[str, str, int]:
    caller, callee = (f"{call[end].get('namespace')}/{call[end].get('name')}" for end in ("caller", "callee"))
    return caller, callee, call["port"]


def rules() -> str:
    return subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=True).stdout


def test_plugins_wire_a_pod(cluster: RunningCluster) -> None:
    """A Pod has the plugin's address, is reached there and at its port of the node, reaches the API server, its calls are
    counted, and it keeps all that when Podling is killed; what plugins gave is taken back with the Pod, and at `down`."""
    port = free_port()
    serve = "echo served > /index.html; httpd -f -p 8080 -h /"
    pods = []
    for name, ports in (("web", [{"containerPort": 8080, "hostPort": port}]), ("other", [])):
        pod = json.loads(pod_manifest(name, "sh", "-c", serve))
        pod["spec"]["containers"][0]["ports"] = ports
        pods.append(pod)
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    cluster.wait_ready("web", "other")
    node = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]

    def state() -> dict[str, tuple[str, str]]:
        items = cluster.get("pods")["items"]
        return {
            it["metadata"]["name"]: (it["status"]["podIP"], it["status"]["containerStatuses"][0]["containerID"])
            for it in items
        }

    before = state()
    assert leases(cluster) == sorted(address for address, _ in before.values())
    here = Caller("node", "", ())

    def served(address: str, at: int) -> bool:
        return page(address, at) == "served"

    def page(address: str, at: int) -> str:
        done = subprocess.run(
            ["busybox", "nc", "-w", "3", address, str(at)], input="GET / HTTP/1.0\r\n\r\n",
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
        return done.stdout.splitlines()[-1] if done.stdout else done.stderr

    eventually(lambda: served(before["web"][0], 8080))
    assert served(node, port)
    assert ask(here, TCP, before["web"][0], 9).seen == "connection refused"
    cluster.kubectl("exec", "other", "--", "sh", "-c", f"echo | nc -w 3 {node} {cluster.port}")
    cluster.kubectl("exec", "other", "--", "sh", "-c", f"echo | nc -w 3 {before['web'][0]} 8080")

    def counted(caller: str = "default/other") -> int:
        calls = json.loads(cluster.podling("graph", "-o", "json").stdout)["calls"]
        return sum(call["observed"]["calls"] for call in calls if _ends(call) == (caller, "default/web", 8080))

    eventually(lambda: counted() == 1)
    node_name = cluster.get("nodes")["items"][0]["metadata"]["name"]
    assert counted(f"None/{node_name}") >= 1  # by an address that the plugins gave it

    handle = os.pidfd_open(cluster.pid)
    os.kill(cluster.pid, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)
    refused = cluster.podling("up", "--detach", "--port", str(cluster.port), "--runtime", "oci", check=False)
    assert "wired by CNI plugins" in refused.stderr
    cluster.up("--cni", str(cluster.data.parent / "net.d"))
    cluster.wait_ready("web", "other")
    assert state() == before
    assert served(node, port)
    cluster.kubectl("exec", "other", "--", "sh", "-c", f"echo | nc -w 3 {before['web'][0]} 8080")
    eventually(lambda: counted() == 2)

    cluster.kubectl("delete", "pod", "web")
    eventually(lambda: leases(cluster) == [before["other"][0]])
    assert str(port) not in rules()
    cluster.podling("down")
    assert leases(cluster) == []
    assert before["other"][0] not in rules()
