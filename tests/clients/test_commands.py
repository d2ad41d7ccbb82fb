"""The commands themselves: what they print, what they refuse, and that every failure says what to do next."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.running import IMAGE, RunningCluster, busybox_archive, eventually, free_port, pod_manifest


@pytest.fixture
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster of simulated containers; needs no rights."""
    running = RunningCluster(tmp_path_factory.mktemp("commands") / "data", free_port(), "sim")
    yield running
    running.podling("down", check=False)


def test_up_status_kubeconfig_down(simulated: RunningCluster) -> None:
    """From nothing to a cluster and back; the kubeconfig is the owner's alone."""
    before = simulated.podling("status", check=False)
    assert (before.returncode, "up --detach" in before.stdout) == (1, True)
    said = simulated.podling("up", "--detach", "--port", str(simulated.port), "--runtime", "sim", "--nodes", "3")
    assert f"https://127.0.0.1:{simulated.port}, 3 nodes Ready, runtime sim" in said.stdout
    assert f"export KUBECONFIG={simulated.data}/kubeconfig" in said.stdout
    assert stat.S_IMODE(os.stat(simulated.data / "kubeconfig").st_mode) == 0o600
    assert simulated.podling("kubeconfig").stdout == (simulated.data / "kubeconfig").read_text()
    status = simulated.podling("status").stdout
    assert "3 nodes Ready" in status
    assert len(simulated.get("nodes")["items"]) == 3
    assert "is down" in simulated.podling("down").stdout
    assert simulated.podling("status", check=False).returncode == 1
    assert "down" in simulated.podling("down").stdout


def test_a_second_up_names_the_first(simulated: RunningCluster) -> None:
    """One process a folder; the refusal says how to stop the other."""
    simulated.up()
    again = simulated.podling("up", "--detach", "--port", str(free_port()), "--runtime", "sim", check=False)
    assert again.returncode == 1
    assert f"process {simulated.pid}" in again.stderr
    assert "podling down" in again.stderr


def test_a_taken_port_is_named(simulated: RunningCluster) -> None:
    """A port in use is refused with the flag that helps, and nothing stays behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", simulated.port))
        taken.listen()
        refused = simulated.podling("up", "--detach", "--port", str(simulated.port), "--runtime", "sim", check=False)
    assert refused.returncode == 1
    assert f"127.0.0.1:{simulated.port} is in use" in refused.stderr
    assert "--port" in refused.stderr
    simulated.up()


def test_a_range_of_a_family_that_is_not_there_is_named(simulated: RunningCluster) -> None:
    """Nobody waits for addresses that no Service can have."""
    words = ("up", "--detach", "--runtime", "sim", "--load-balancer-range", "fd00:77::/120")
    refused = simulated.podling(*words, check=False)
    assert refused.returncode == 1
    assert "fd00:77::/120: this cluster has no IPv6" in refused.stderr
    assert "--ip-family" in refused.stderr


def test_newer_data_is_refused_untouched(simulated: RunningCluster) -> None:
    """Data of a newer layout is left as it is."""
    simulated.data.mkdir()
    (simulated.data / "VERSION").write_text("999\n")
    refused = simulated.podling("up", "--detach", "--runtime", "sim", check=False)
    assert refused.returncode == 1
    assert "999" in refused.stderr
    assert sorted(os.listdir(simulated.data)) == ["VERSION"]


def test_commands_without_a_cluster_say_how_to_start_one(simulated: RunningCluster) -> None:
    """No traceback for a forgotten `up`."""
    for words in (("image", "list"), ("kubeconfig",)):
        refused = simulated.podling(*words, check=False)
        assert refused.returncode == 1
        assert "podling up --detach" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_foreground_stops_on_sigterm(simulated: RunningCluster) -> None:
    """Without --detach it stays, says how to go on, and ends in order on SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "podling.cli", "up", "--runtime", "sim", "--port", str(simulated.port),
         "--data-dir", str(simulated.data)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert "Podling is up" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


@pytest.mark.root
def test_keep_pods_leaves_them_running(tmp_path_factory: pytest.TempPathFactory) -> None:
    """`down --keep-pods` stops Podling alone; the next `up` finds the same container."""
    data = tmp_path_factory.mktemp("keep") / "data"
    cluster = RunningCluster(data, free_port(), "oci")
    try:
        cluster.up()
        assert f"Loaded {IMAGE}" in cluster.podling("image", "load", str(busybox_archive(data.parent))).stdout
        assert IMAGE in cluster.podling("image", "list").stdout
        cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("kept"))
        cluster.wait_ready("kept")
        before = cluster.get("pod", "kept")["status"]["containerStatuses"][0]
        assert "go on" in cluster.podling("down", "--keep-pods").stdout
        cluster.up()
        cluster.wait_ready("kept")
        after = cluster.get("pod", "kept")["status"]["containerStatuses"][0]
        assert (after["containerID"], after["restartCount"]) == (before["containerID"], 0)
        cluster.kubectl("delete", "pod", "kept", "--now")
        eventually(lambda: cluster.podling("image", "rm", IMAGE, check=False).returncode == 0)
        assert IMAGE not in cluster.podling("image", "list").stdout
    finally:
        cluster.podling("down", check=False)


def test_a_simulated_cluster_of_two_families(simulated: RunningCluster) -> None:
    """Nodes and Services have both where they are asked for; no kernel has to know IPv6 for that."""
    simulated.up("--ip-family", "dual", "--load-balancer-range", "fd00:77::/120")
    (node,) = simulated.get("nodes")["items"]
    internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    assert [":" in each for each in internal] == [":" in each for each in node["spec"]["podCIDRs"]] == [False, True]
    spec = {"type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]}
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    simulated.kubectl("apply", "-f", "-", stdin=json.dumps(made))

    def balanced() -> list[str]:
        made = simulated.get("service", "web")
        assert made["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
        return [each["ip"] for each in made["status"]["loadBalancer"].get("ingress", [])]

    eventually(lambda: balanced() == ["10.97.0.1", "fd00:77::1"])
    addresses = simulated.get("service", "web")["spec"]["clusterIPs"]

    def listed() -> list[list[str]]:
        said = simulated.kubectl("get", "servicecidrs,ipaddresses", "--no-headers").stdout
        return [line.split()[:2] for line in said.splitlines() if line]

    eventually(
        lambda: all([f"ipaddress.networking.k8s.io/{each}", "services/default/web"] in listed() for each in addresses)
    )
    ranges = "10.96.0.0/16,fd00:10:96::/112"
    assert listed()[0] == ["servicecidr.networking.k8s.io/kubernetes", ranges]
    refused = simulated.kubectl("delete", "servicecidr", "kubernetes", check=False)
    assert "the ranges of Services are chosen when a cluster first starts" in refused.stderr
