"""Services of a real cluster: containers behind them, real callers, and what may happen to the proxy meanwhile."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from podling.linux.families import IPV6, has_family
from tests.running import RunningCluster, eventually, free_port, pod_manifest, started

pytestmark = pytest.mark.root

SERVE = """mkdir -p /www; hostname > /www/index.html
trap 'exit 0' TERM
httpd -f -p 8080 -h /www & wait"""
"""A server that ends at SIGTERM at once, with all that it was answering; as the first process httpd alone would not."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with started(tmp_path_factory.mktemp("services")) as running:
        yield running


def web(cluster: RunningCluster, name: str, app: str, **more: object) -> None:
    manifest = json.loads(pod_manifest(name, "sh", "-c", SERVE))
    manifest["metadata"]["labels"] = {"app": app}
    probe = {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}
    manifest["spec"]["containers"][0] |= {"readinessProbe": probe, **more}
    manifest["spec"]["terminationGracePeriodSeconds"] = 10
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))


def service(cluster: RunningCluster, name: str, **spec: object) -> dict:
    tree = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(tree))
    return cluster.get("service", name)


def page(address: str, port: int = 80, timeout: float = 2.0) -> str:
    """Ask for the page over a connection of its own; what goes wrong is told in capitals."""
    try:
        with socket.create_connection((address, port), timeout) as caller:
            caller.settimeout(timeout)
            caller.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while data := caller.recv(4096):
                answer += data
    except OSError as error:
        return type(error).__name__.upper()
    return answer.rpartition(b"\r\n\r\n")[2].decode().strip() or "EMPTY"


def instance(cluster: RunningCluster) -> str:
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    from podling.cluster.data_dir import DataDir

    name = DataDir(cluster.data).instance
    assert f"podling-{name}-services" in tables
    return name


def test_a_service_is_reached_from_pods_and_from_the_node(cluster: RunningCluster) -> None:
    """By cluster address and node port, by the Pods behind it too; with nobody behind it callers are refused."""
    made = service(cluster, "front", type="NodePort")
    address, port = made["spec"]["clusterIP"], made["spec"]["ports"][0]["nodePort"]
    assert eventually(lambda: page(address) == "CONNECTIONREFUSEDERROR")
    for name in ("front-a", "front-b"):
        web(cluster, name, "front")
    cluster.wait_ready("front-a", "front-b")
    eventually(lambda: {page(address) for _ in range(10)} == {"front-a", "front-b"})
    assert {page("127.0.0.1", port) for _ in range(20)} == {"front-a", "front-b"}
    script = f"for i in $(seq 12); do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80 | tail -n 1; done"
    own = set(cluster.kubectl("exec", "front-a", "--", "sh", "-c", script).stdout.split())
    assert own == {"front-a", "front-b"}


def addresses_of(cluster: RunningCluster) -> list[str]:
    """Return the node's own, one of each family; skip where it has but one."""
    if not has_family(IPV6):
        pytest.skip("this machine has no IPv6")
    told = cluster.get("nodes")["items"][0]["status"]["addresses"]
    return [each["address"] for each in told if each["type"] == "InternalIP"]


def dual(cluster: RunningCluster, name: str, **spec: object) -> dict:
    return service(cluster, name, ipFamilyPolicy="RequireDualStack", **spec)


def test_a_service_of_both_families(cluster: RunningCluster) -> None:
    """One Pod behind every face of it: cluster, node and balanced addresses, its host port, from Pods and the node."""
    node = addresses_of(cluster)
    port = free_port()
    made = dual(cluster, "both", type="LoadBalancer")
    number = made["spec"]["ports"][0]["nodePort"]
    faces = [(vip, 80) for vip in made["spec"]["clusterIPs"]] + [(each, number) for each in node]
    assert len(faces) == 4
    assert eventually(lambda: {page(*face) for face in faces} == {"CONNECTIONREFUSEDERROR"})
    web(cluster, "both", "both", ports=[{"containerPort": 8080, "hostPort": port}])
    cluster.wait_ready("both")
    balanced = eventually(lambda: cluster.get("service", "both")["status"]["loadBalancer"].get("ingress"))
    assert len(balanced) == 2
    faces += [(each["ip"], 80) for each in balanced] + [(each, port) for each in node]
    eventually(lambda: {page(*face) for face in faces} == {"both"})
    asking = [f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} {at} | tail -n 1" for address, at in faces]
    answers = cluster.kubectl("exec", "both", "--", "sh", "-c", "; ".join(asking)).stdout.split()
    assert answers == ["both"] * len(faces)
    # At ::1 a node has no ports of Services, upstream neither.
    assert [page("127.0.0.1", number), page("::1", number)] == ["both", "CONNECTIONREFUSEDERROR"]
    # One that has but IPv4 is not there by IPv6.
    cluster.kubectl("delete", "service", "both")
    single = service(cluster, "both", type="NodePort")["spec"]["ports"][0]["nodePort"]
    eventually(lambda: [page(each, single) for each in node] == ["both", "CONNECTIONREFUSEDERROR"])


def test_an_endpoint_of_both_families_counts_once(cluster: RunningCluster) -> None:
    """The health check's port tells of Pods, by either family, and is not there by one that the Service has not."""
    four, six = addresses_of(cluster)
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    port = dual(cluster, "counted", **spec)["spec"]["healthCheckNodePort"]
    for name in ("counted-a", "counted-b"):
        web(cluster, name, "counted")
    cluster.wait_ready("counted-a", "counted-b")

    def counts() -> list[str]:
        return [page(each, port).partition('"localEndpoints": ')[2][:1] for each in (four, six)]

    eventually(lambda: counts() == ["2", "2"])
    service(cluster, "counted", ipFamilyPolicy="SingleStack", **spec)
    eventually(lambda: counts() == ["2", ""])


def test_balancers_are_told_whether_the_node_has_endpoints(cluster: RunningCluster) -> None:
    """The health check's port answers 503 with none, 200 with one, in upstream's words, and closes with the Service."""
    made = service(cluster, "checked", type="LoadBalancer", externalTrafficPolicy="Local")
    port = made["spec"]["healthCheckNodePort"]

    def check() -> tuple[int, dict]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, {}

    names = {"namespace": "default", "name": "checked"}
    assert eventually(check) == (503, {"service": names, "localEndpoints": 0, "serviceProxyHealthy": True})
    web(cluster, "checked", "checked")
    cluster.wait_ready("checked")
    eventually(lambda: check() == (200, {"service": names, "localEndpoints": 1, "serviceProxyHealthy": True}))
    cluster.kubectl("delete", "service", "checked")
    eventually(lambda: check() == (0, {}))


def test_near_endpoints_go_before_far_ones(cluster: RunningCluster) -> None:
    """Where hints say for which zone an endpoint is, the node's zone decides, and follows its label."""
    made = service(cluster, "near", selector=None)
    for name in ("zone-a", "zone-b"):
        web(cluster, name, name)
    cluster.wait_ready("zone-a", "zone-b")
    addresses = {name: cluster.get("pod", name)["status"]["podIP"] for name in ("zone-a", "zone-b")}
    tree = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "near-1", "labels": {"kubernetes.io/service-name": "near"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [ip], "conditions": {"ready": True}, "hints": {"forZones": [{"name": zone}]}}
            for zone, ip in addresses.items()
        ],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(tree))
    address, node = made["spec"]["clusterIP"], cluster.get("nodes")["items"][0]["metadata"]["name"]
    eventually(lambda: {page(address) for _ in range(20)} == {"zone-a", "zone-b"})
    for zone in ("zone-a", "zone-b"):
        cluster.kubectl("label", "node", node, "--overwrite", f"topology.kubernetes.io/zone={zone}")
        eventually(lambda zone=zone: {page(address) for _ in range(20)} == {zone})
    cluster.kubectl("label", "node", node, "topology.kubernetes.io/zone-")


def test_rules_that_somebody_removes_come_back(cluster: RunningCluster) -> None:
    """A flushed or deleted table is laid down again at once, without anybody asking."""
    made = service(cluster, "mended", ipFamilyPolicy="PreferDualStack")
    web(cluster, "mended", "mended")
    cluster.wait_ready("mended")
    eventually(lambda: {page(address) for address in made["spec"]["clusterIPs"]} == {"mended"})
    pods = f"podling-{instance(cluster)}"
    subprocess.run(["nft", "delete", "table", "inet", pods], check=True)
    mended = cluster.get("pod", "mended")["status"]["podIP"]
    listing = ["nft", "list", "set", "inet", pods, "links"]
    eventually(lambda: mended in subprocess.run(listing, capture_output=True, text=True, check=False).stdout, 5)
    for address in made["spec"]["clusterIPs"]:
        table = f"{pods}-services{'6' if ':' in address else ''}"
        for words in (("delete", "table", "inet", table), ("flush", "map", "inet", table, "endpoints")):
            began = time.monotonic()
            subprocess.run(["nft", *words], check=True)
            eventually(lambda address=address: page(address, timeout=0.5) == "mended", 5, 0.01)
            assert time.monotonic() - began < 2


def test_services_outlive_podling(cluster: RunningCluster) -> None:
    """Killed and started again: an open connection lives, and at no moment is a new one refused."""
    made = service(cluster, "lasting", ipFamilyPolicy="PreferDualStack")
    port = free_port()
    web(cluster, "lasting", "lasting", ports=[{"containerPort": 8080, "hostPort": port}])
    cluster.wait_ready("lasting")
    addresses = made["spec"]["clusterIPs"]
    eventually(lambda: {page(address) for address in addresses} == {"lasting"})
    open_ones = [socket.create_connection((address, 80), 5) for address in addresses]
    failures: list[str] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.wait(0.005):
            for answer in (*map(page, addresses), page("127.0.0.1", port)):
                if answer != "lasting":
                    failures.append(answer)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        os.kill(cluster.pid, signal.SIGKILL)
        time.sleep(0.3)
        cluster.up()
        time.sleep(0.5)
    finally:
        stop.set()
        caller.join()
    assert failures == []
    for open_one in open_ones:
        open_one.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"lasting" in open_one.recv(4096) + open_one.recv(4096)
        open_one.close()


def test_host_ports(cluster: RunningCluster) -> None:
    """A Pod's hostPort is reached at every address of the node, or at its hostIP alone, from Pods too; it goes with it."""
    anywhere, private = free_port(), free_port()
    node = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    web(cluster, "ported", "ported", ports=[
        {"containerPort": 8080, "hostPort": anywhere},
        {"containerPort": 8080, "hostPort": private, "hostIP": "127.0.0.1", "protocol": "TCP"},
    ])  # fmt: skip
    web(cluster, "caller", "caller")
    cluster.wait_ready("ported", "caller")
    assert [page(address, anywhere) for address in (node, "127.0.0.1")] == ["ported", "ported"]
    assert [page(address, private) for address in (node, "127.0.0.1")] == ["CONNECTIONREFUSEDERROR", "ported"]
    ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {node} {anywhere} | tail -n 1"
    for pod in ("caller", "ported"):
        assert cluster.kubectl("exec", pod, "--", "sh", "-c", ask).stdout.strip() == "ported"
    cluster.kubectl("delete", "pod", "ported")
    assert page("127.0.0.1", anywhere) == "CONNECTIONREFUSEDERROR"


def test_down_leaves_no_rules(tmp_path) -> None:
    """`down` takes the table of Services away with all else."""
    running = RunningCluster(tmp_path / "data", free_port(), "oci")
    running.up()
    table = f"podling-{instance(running)}-services"
    running.podling("down")
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert table not in tables


class Load:
    """So many requests a second, each over a connection of its own, from so many threads; failures are kept.

    The addresses are called in turn.
    """

    def __init__(self, addresses: list[str], rate: int = 200, threads: int = 8) -> None:
        self.failures: list[str] = []
        self.served: dict[str, int] = {}
        self._addresses = addresses
        self._pause = threads / rate
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n / rate,)) for n in range(threads)]

    def _call(self, offset: float) -> None:
        due = time.monotonic() + offset
        for address in itertools.cycle(self._addresses):
            if self._stop.is_set():
                return
            time.sleep(max(0.0, due - time.monotonic()))
            due += self._pause
            answer = page(address, timeout=5)
            if answer.startswith("roll-"):
                self.served[answer] = self.served.get(answer, 0) + 1
            else:
                self.failures.append(f"{answer} at {time.time() % 1000:.3f}")

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def roll(cluster: RunningCluster, generation: int) -> None:
    """Replace five Pods one by one: the new one Ready, the old one deleted and gone."""
    for number in range(5):
        name = f"roll-{generation + 1}-{number}"
        web(cluster, name, "roll")
        cluster.wait_ready(name)
        cluster.kubectl("delete", "pod", f"roll-{generation}-{number}", timeout=30)


def test_no_request_fails_while_pods_are_replaced(cluster: RunningCluster) -> None:
    """Five Pods behind 200 requests a second by each family in turn, of a server that ends at SIGTERM: none is dropped."""
    made = service(cluster, "roll", ipFamilyPolicy="PreferDualStack")
    for number in range(5):
        web(cluster, f"roll-0-{number}", "roll")
    cluster.wait_ready(*(f"roll-0-{number}" for number in range(5)))
    addresses = made["spec"]["clusterIPs"]
    for address in addresses:
        eventually(lambda address=address: len({page(address) for _ in range(25)}) == 5)
    runs = 10 if os.environ.get("PODLING_PROVE") else 2
    for generation in range(runs):
        began = time.monotonic()
        with Load(addresses) as load:
            roll(cluster, generation)
        took = time.monotonic() - began
        total = sum(load.served.values())
        print(f"run {generation + 1}: {total} requests in {took:.1f} s, {len(load.failures)} failed")
        assert load.failures == []
        assert len(load.served) == 10
        assert total > 100 * took


def test_a_pod_that_is_alone_goes_at_once(cluster: RunningCluster) -> None:
    """Where no other endpoint could take over, and where no Service selects it, nothing waits."""
    service(cluster, "alone")
    web(cluster, "alone", "alone")
    web(cluster, "unselected", "unselected")
    cluster.wait_ready("alone", "unselected")
    for name in ("alone", "unselected"):
        began = time.monotonic()
        cluster.kubectl("delete", "pod", name)
        assert time.monotonic() - began < 1.5
