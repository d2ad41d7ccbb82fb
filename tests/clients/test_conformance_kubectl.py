"""What upstream's suite does with kubectl and no other test does: `tests/conformance.py` says which case is where."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import IMAGE, RunningCluster, eventually, pod_manifest

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("kubectl")]


@pytest.fixture
def controller(cluster: RunningCluster, name: str) -> Iterator[str]:
    """A ReplicationController of one Pod that serves a page."""
    script = "mkdir -p /w; echo page > /w/index.html; exec httpd -f -p 6379 -h /w"
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script], "ports": [{"containerPort": 6379}]}
    spec = {
        "replicas": 1,
        "selector": {"app": name},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
    }
    tree = {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(tree))
    eventually(lambda: running(cluster, name) == 1)
    yield name
    cluster.kubectl("delete", "rc", name)


def running(cluster: RunningCluster, app: str) -> int:
    pods = cluster.get("pods", "-l", f"app={app}")["items"]
    return sum(pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"] for pod in pods)


def test_the_control_plane_is_told(cluster: RunningCluster) -> None:
    """cluster-info names the control plane and where it runs; version tells both sides whole."""
    told = re.sub(r"\x1b\[[0-9;]*m", "", cluster.kubectl("cluster-info").stdout)
    assert f"Kubernetes control plane is running at https://127.0.0.1:{cluster.port}" in told
    server = json.loads(cluster.kubectl("version", "-o", "json").stdout)["serverVersion"]
    assert all(key in server for key in ("major", "minor", "gitVersion", "gitCommit", "buildDate", "platform"))


def test_a_node_tells_what_it_works_by(cluster: RunningCluster) -> None:
    """Its kubelet's configuration, by the path that upstream's suite reads it by."""
    node = cluster.get("nodes")["items"][0]
    told = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node['metadata']['name']}/proxy/configz").stdout
    configuration = json.loads(told)["kubeletconfig"]
    assert configuration["kind"] == "KubeletConfiguration"
    assert str(configuration["maxPods"]) == node["status"]["capacity"]["pods"]
    assert configuration["evictionHard"]["memory.available"] == "100Mi"


def test_a_controller_is_scaled(cluster: RunningCluster, controller: str) -> None:
    """To three, to one, to two: as many Pods run as were asked for."""
    for size in (3, 1, 2):
        cluster.kubectl("scale", "rc", controller, f"--replicas={size}")
        eventually(lambda size=size: running(cluster, controller) == size)


def test_a_controller_and_what_belongs_to_it_are_described(cluster: RunningCluster, controller: str) -> None:
    """rc, Pod, Service, node and namespace, each with what upstream's suite looks for."""
    cluster.kubectl("expose", "rc", controller, "--port=1234", "--target-port=6379")
    [pod] = cluster.get("pods", "-l", f"app={controller}")["items"]
    node = pod["spec"]["nodeName"]
    for what, lines in {
        f"rc/{controller}": (f"Name: {controller}", "Namespace: default", f"Selector: app={controller}", "Replicas: 1 current / 1 desired", "Pods Status: 1 Running / 0 Waiting / 0 Succeeded / 0 Failed", "Pod Template:"),
        f"pod/{pod['metadata']['name']}": (f"Labels: app={controller}", "Status: Running", f"Controlled By: ReplicationController/{controller}", f"Image: {IMAGE}", "State: Running", "QoS Class: BestEffort"),
        f"service/{controller}": (f"Selector: app={controller}", "Type: ClusterIP", "Port: <unset> 1234/TCP", f"Endpoints: {pod['status']['podIP']}:6379", "Session Affinity: None"),
        f"node/{node}": (f"Name: {node}", "Conditions:", "KubeletReady", "Addresses:", "Capacity:", "Allocatable:", "System Info:", "Container Runtime Version: podling://", "Non-terminated Pods:"),
        "namespace/default": ("Name: default", "Status: Active"),
    }.items():  # fmt: skip
        told = re.sub(r"[ \t]+", " ", cluster.kubectl("describe", what).stdout)
        assert [line for line in lines if line not in told] == [], told
    cluster.kubectl("delete", "service", controller)


def test_a_controller_is_exposed_twice(cluster: RunningCluster, controller: str) -> None:
    """By itself, then its Service: both lead to the port that its Pods serve."""
    cluster.kubectl("expose", "rc", controller, f"--name={controller}-1", "--port=1234", "--target-port=6379")
    cluster.kubectl(
        "expose", "service", f"{controller}-1", f"--name={controller}-2", "--port=2345", "--target-port=6379"
    )
    for number, port in ((1, 1234), (2, 2345)):
        address = cluster.get("service", f"{controller}-{number}")["spec"]["clusterIP"]
        page = f"http://{address}:{port}/"

        def served(page: str = page) -> bool:
            try:
                with urllib.request.urlopen(page, timeout=1) as answer:
                    return bool(answer.read() == b"page\n")
            except OSError:
                return False

        eventually(served)
    cluster.kubectl("delete", "service", f"{controller}-1", f"{controller}-2")


def test_pods_of_a_controller_are_patched(cluster: RunningCluster, controller: str) -> None:
    [pod] = cluster.get("pods", "-l", f"app={controller}")["items"]
    cluster.kubectl("patch", "pod", pod["metadata"]["name"], "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    [pod] = cluster.get("pods", "-l", f"app={controller}")["items"]
    assert pod["metadata"]["annotations"]["x"] == "y"


def test_diff_sees_another_image(cluster: RunningCluster, name: str) -> None:
    """Of a Deployment, with the exit code that says so."""
    manifest = cluster.kubectl(
        "create", "deployment", name, f"--image={IMAGE}", "--dry-run=client", "-o", "json"
    ).stdout
    cluster.kubectl("apply", "-f", "-", stdin=manifest)
    done = cluster.kubectl("diff", "-f", "-", stdin=manifest.replace(IMAGE, "other.example/image:1"), check=False)
    assert (done.returncode, done.stdout.count("+ ") + done.stdout.count("+  ") > 0) == (1, True)
    assert "image: other.example/image:1" in done.stdout
    cluster.kubectl("delete", "deployment", name)


def test_a_pod_runs_and_is_replaced(cluster: RunningCluster, name: str) -> None:
    """`run` with restart Never; a dry patch on the server changes nothing; `replace` changes the image; by force it is anew."""
    cluster.kubectl(
        "run", name, f"--image={IMAGE}", "--restart=Never", f"--labels=run={name}", "--command", "--", "sleep", "600"
    )
    found = cluster.get("pod", name)
    assert (found["spec"]["restartPolicy"], found["spec"]["containers"][0]["image"]) == ("Never", IMAGE)
    cluster.wait_ready(name)
    other = json.dumps({"spec": {"containers": [{"name": name, "image": "other.example/image:1"}]}})
    cluster.kubectl("patch", "pod", name, "-p", other, "--dry-run=server")
    found = cluster.get("pod", name)
    assert found["spec"]["containers"][0]["image"] == IMAGE
    del found["metadata"]["resourceVersion"]
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(found).replace(IMAGE, "other.example/image:1"))
    assert cluster.get("pod", name)["spec"]["containers"][0]["image"] == "other.example/image:1"
    cluster.kubectl("replace", "--force", "--grace-period=0", "-f", "-", stdin=pod_manifest(name))
    cluster.wait_ready(name)
    assert cluster.get("pod", name)["metadata"]["uid"] != found["metadata"]["uid"]
    cluster.kubectl("delete", "pod", name, "--now")


def test_proxies_at_a_drawn_port_and_at_a_socket(cluster: RunningCluster, tmp_path: Path) -> None:
    """`kubectl proxy --port=0` and `--unix-socket`: both serve the versions of the API."""
    for option in ("--port=0", f"--unix-socket={tmp_path}/proxy"):
        command = ["kubectl", "--kubeconfig", str(cluster.data / "kubeconfig"), "proxy", option]
        proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert proxy.stdout is not None
            told = re.search(r"127\.0\.0\.1:(\d+)$", proxy.stdout.readline())
            assert (told is None) is option.startswith("--unix")
            connection = http.client.HTTPConnection("localhost", int(told[1]) if told else 0)
            if told is None:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(f"{tmp_path}/proxy")
            connection.request("GET", "/api/", headers={"Host": "localhost"})
            assert json.load(connection.getresponse())["versions"] == ["v1"]
            connection.close()
        finally:
            proxy.kill()
            proxy.communicate()


def test_logs_are_filtered(cluster: RunningCluster, name: str) -> None:
    """The last line, the first bytes, with its time, and by how long ago it was written."""
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest(name, "sh", "-c", "echo one; echo two; sleep 600"))
    cluster.wait_ready(name)
    eventually(lambda: cluster.kubectl("logs", name).stdout == "one\ntwo\n")
    assert cluster.kubectl("logs", name, "--tail=1").stdout == "two\n"
    assert cluster.kubectl("logs", name, "--limit-bytes=1").stdout == "o"
    [stamp, word] = cluster.kubectl("logs", name, "--tail=1", "--timestamps").stdout.split()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", stamp) and word == "two"
    time.sleep(1.5)
    assert cluster.kubectl("logs", name, "--since=1s").stdout == ""
    assert cluster.kubectl("logs", name, "--since=24h").stdout == "one\ntwo\n"
    cluster.kubectl("delete", "pod", name, "--now")


def test_a_pod_names_a_volume_of_a_driver(cluster: RunningCluster, name: str) -> None:
    """The API keeps an inline volume of a CSI driver; without one on its node the Pod waits, and can go."""
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": f"{name}.example.com"}}
    driver["spec"] = {"volumeLifecycleModes": ["Ephemeral"]}
    volume = {"driver": f"{name}.example.com", "readOnly": True, "volumeAttributes": {"a": "b"}}
    pod = json.loads(pod_manifest(name, volumes=[{"name": "v", "csi": volume}]))
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [driver, pod]}))
    cluster.kubectl("patch", "pod", name, "-p", json.dumps({"metadata": {"labels": {"patched": name}}}))
    [found] = cluster.get("pods", "-A", "-l", f"patched={name}")["items"]
    assert [it["csi"] for it in found["spec"]["volumes"] if it["name"] == "v"] == [volume]
    eventually(lambda: "FailedMount" in cluster.kubectl("events", "--for", f"pod/{name}").stdout)
    assert cluster.get("pod", name)["status"]["phase"] == "Pending"
    cluster.kubectl("delete", "pod", name)
    cluster.kubectl("delete", "csidriver", f"{name}.example.com")
