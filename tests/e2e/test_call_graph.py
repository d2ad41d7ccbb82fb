"""The call graph of real containers: who called whom, counted by the kernel's table of connections."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from podling.cluster.data_dir import DataDir
from podling.linux import namespaces
from tests.families import needs_ipv6
from tests.running import RunningCluster, eventually, pod_manifest, started

pytestmark = pytest.mark.root

SERVER = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with started(tmp_path_factory.mktemp("calls")) as running:
        running.kubectl("apply", "-f", "-", stdin=pod_manifest("server", "sh", "-c", SERVER))
        running.kubectl("apply", "-f", "-", stdin=pod_manifest("caller"))
        running.wait_ready("server", "caller")
        yield running


def address(cluster: RunningCluster, pod: str) -> str:
    return str(cluster.get("pod", pod)["status"]["podIP"])


def calls(cluster: RunningCluster, **wanted: Any) -> list[dict[str, Any]]:
    found = json.loads(cluster.podling("graph", "-o", "json").stdout)["calls"]
    return [
        call["observed"]
        for call in found
        if call["port"] == wanted["port"]
        and call["caller"].get("name") == wanted.get("caller", "caller")
        and call["callee"].get("name", call["callee"]["kind"]) == wanted["callee"]
    ]


def test_calls_are_counted_with_their_bytes_and_what_came_of_them(cluster: RunningCluster) -> None:
    """Ten answered calls, three refused ones: each is one call of its edge, in the table, as a resource, after a restart."""
    server = address(cluster, "server")
    loop = f"for i in 1 2 3 4 5 6 7 8 9 10; do wget -qO- http://{server}:8080/ || exit 1; done"
    cluster.kubectl("exec", "caller", "--", "sh", "-c", loop)
    refused = f"for i in 1 2 3; do nc -w 1 {server} 8099 </dev/null; done; true"
    cluster.kubectl("exec", "caller", "--", "sh", "-c", refused)
    (answered,) = eventually(lambda: calls(cluster, callee="server", port=8080))
    assert (answered["calls"], answered["refused"], answered["unanswered"]) == (10, 0, 0)
    (dead,) = eventually(lambda: [seen for seen in calls(cluster, callee="server", port=8099) if seen["refused"] == 3])
    assert dead["calls"] == 3

    listed = eventually(lambda: cluster.kubectl("get", "calls", "-o", "wide").stdout.splitlines())
    assert listed[0].split() == (
        [
            "NAME",
            "CALLER",
            "CALLEE",
            "SERVICE",
            "PORT",
            "CALLS",
            "REFUSED",
            "UNANSWERED",
            "BLOCKED",
            "LAST",
            "SENT",
            "RECEIVED",
            "BLOCKED-BY",
        ]
    )
    row = eventually(
        lambda: [
            line
            for line in cluster.kubectl("get", "calls").stdout.splitlines()
            if "8080/TCP" in line and "caller" in line
        ]
    )[0].split()
    assert row[1:9] == ["default/caller", "default/server", "<none>", "8080/TCP", "10", "0", "0", "0"]
    assert '"default/caller" -> "default/server"' in cluster.podling("graph", "-o", "dot").stdout
    table = cluster.podling("graph", "-n", "default").stdout
    assert "default/caller" in table and "CALLER" in table


def test_the_books_outlive_podling(cluster: RunningCluster) -> None:
    """What was counted before a restart is neither lost nor counted again; a connection that outlives it counts once."""
    server = address(cluster, "server")
    long = f"(sleep 20 | nc {server} 8080) >/dev/null 2>&1 & sleep 0.5"
    before = calls(cluster, callee="server", port=8080)[0]["calls"]
    cluster.kubectl("exec", "caller", "--", "sh", "-c", long)
    eventually(lambda: calls(cluster, callee="server", port=8080)[0]["calls"] == before + 1)
    eventually(lambda: cluster.kubectl("get", "calls", "-o", "json").stdout.count(f'"calls": {before + 1}'))
    cluster.podling("down", "--keep-pods")
    cluster.up()
    cluster.kubectl("exec", "caller", "--", "wget", "-qO-", f"http://{server}:8080/")
    eventually(lambda: calls(cluster, callee="server", port=8080)[0]["calls"] == before + 2)


def test_a_namespace_takes_its_calls_along(cluster: RunningCluster) -> None:
    """Calls live in the caller's namespace; another's Pods that were called stay in theirs."""
    server = address(cluster, "server")
    cluster.kubectl("create", "namespace", "other")
    manifest = json.loads(pod_manifest("passer", "sh", "-c", f"wget -qO- http://{server}:8080/; sleep 600"))
    manifest["metadata"]["namespace"] = "other"
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    eventually(lambda: "passer" in cluster.kubectl("get", "calls", "-n", "other").stdout)
    cluster.kubectl("delete", "namespace", "other", "--timeout=30s", timeout=40)
    assert "passer" not in cluster.kubectl("get", "calls", "-A").stdout


def _serve(namespace: str, ready: threading.Event, over: threading.Event) -> None:
    """Answer connections on port 9000 in a Pod's network namespace, each with a byte."""

    def listen() -> socket.socket:
        return socket.create_server(("", 9000), backlog=512)

    with namespaces.inside(namespace, listen) as listener:
        listener.settimeout(0.2)
        ready.set()
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.sendall(b"x")


def _call(namespace: str, addresses: list[str], rounds: int, pause: float) -> int:
    """Call each of the addresses so often from a Pod's network namespace; return how many answered."""

    def call_all() -> int:
        answered = 0
        begin = time.monotonic()
        for number in range(rounds):
            for address in addresses:
                with socket.create_connection((address, 80), timeout=20) as connection:
                    answered += connection.recv(1) == b"x"
            time.sleep(max(0.0, begin + (number + 1) * pause - time.monotonic()))
        return answered

    return namespaces.inside(namespace, call_all)


def test_of_ten_thousand_calls_none_is_missed_and_none_counted_twice(cluster: RunningCluster) -> None:
    """20 Pods call 5 Services 100 times each, 1,000 calls a second: each is counted once, for its caller and Service."""
    pods = [f"many-{number}" for number in range(20)]
    labelled = [json.loads(pod_manifest(name)) for name in pods]
    for number, pod in enumerate(labelled):
        pod["metadata"]["labels"] = {"of": f"s{number % 5}"}
    spec = {"ports": [{"port": 80, "targetPort": 9000}]}
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{n}"},
            "spec": {**spec, "selector": {"of": f"s{n}"}},
        }
        for n in range(5)
    ]
    everything = {"apiVersion": "v1", "kind": "List", "items": [*labelled, *services]}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(everything))
    cluster.kubectl("wait", "--for=condition=Ready", *(f"pod/{name}" for name in pods), "--timeout=60s", timeout=90)
    run = DataDir(cluster.data).run / "ns"
    homes = [str(run / cluster.get("pod", name)["metadata"]["uid"] / "net") for name in pods]
    addresses = [cluster.get("service", f"s{n}")["spec"]["clusterIP"] for n in range(5)]
    eventually(
        lambda: (
            sum(
                len(s["endpoints"] or ())
                for s in cluster.get("endpointslices", "-l", "kubernetes.io/service-name!=kubernetes")["items"]
            )
            == 20
        )
    )
    over, ready = threading.Event(), [threading.Event() for _ in homes]
    with ThreadPoolExecutor(40) as threads:
        servers = [threads.submit(_serve, home, event, over) for home, event in zip(homes, ready, strict=True)]
        try:
            assert all(event.wait(20) for event in ready)
            callers = [threads.submit(_call, home, addresses, 100, 0.1) for home in homes]
            assert [caller.result() for caller in callers] == [500] * 20
        finally:
            over.set()
        for server in servers:
            server.result()

    def counted() -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for call in json.loads(cluster.podling("graph", "-o", "json").stdout)["calls"]:
            if call.get("service", "").startswith("default/s"):
                assert call["callee"]["name"] in pods
                key = (call["caller"].get("name", call["caller"]["kind"]), call["service"])
                found[key] = found.get(key, 0) + call["observed"]["calls"]
        return found

    expected = {(name, f"default/s{n}"): 100 for name in pods for n in range(5)}
    eventually(lambda: sum(counted().values()) >= 10_000)
    assert counted() == expected
    assert json.loads(cluster.podling("graph", "-o", "json").stdout)["missing"]["overruns"] == 0


def test_the_page_draws_the_calls_in_a_browser(cluster: RunningCluster, tmp_path: Path) -> None:
    """`podling graph --web` prints an address; Chromium that opens it shows callers, callees and counts."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (make test installs it where it may)")
    server = address(cluster, "server")
    cluster.kubectl("exec", "caller", "--", "wget", "-qO-", f"http://{server}:8080/")
    (seen,) = eventually(lambda: calls(cluster, callee="server", port=8080))
    page = subprocess.Popen(
        [sys.executable, "-m", "podling.cli", "graph", "--web", "--data-dir", str(cluster.data)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert page.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+/\S+/", page.stdout.readline())
        assert url is not None
        dumped = subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={tmp_path}", "--virtual-time-budget=5000", "--dump-dom", url[0],
            ],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
    finally:
        page.terminate()
        page.communicate(timeout=10)
    assert "<h1>Who calls whom</h1>" in dumped
    assert "<title>default/caller</title>" in dumped and "<title>default/server</title>" in dumped
    assert int(re.search(r">(\d+) × 8080<", dumped)[1]) >= 1  # type: ignore[index]
    assert f"<td>{seen['calls']}</td>" in dumped


def test_the_command_says_who_may_reach_whom(cluster: RunningCluster) -> None:
    """Yes with its reasons, no with exit code 1, and how to ask where the question is none."""
    yes = cluster.podling("graph", "--reachable", "caller", "server:8080")
    assert yes.stdout == "yes\n  Pod default/server port 8080: no NetworkPolicy stands between\n"
    no = cluster.podling("graph", "--reachable", "caller", "svc/nothing:80", check=False)
    assert (no.returncode, no.stdout) == (1, "no\n  there is no Service default/nothing\n")
    wrong = cluster.podling("graph", "--reachable", "a/b/c/d", "server:80", check=False)
    assert wrong.returncode == 1 and "names no caller: write" in wrong.stderr


def test_questions_to_the_clusters_dns_are_calls(cluster: RunningCluster) -> None:
    """They go to its Service, and its address counts as a Pod of kube-system."""
    cluster.kubectl("exec", "caller", "--", "nslookup", "kubernetes.default.svc.cluster.local")
    (seen,) = eventually(lambda: calls(cluster, callee="kube-dns", port=53))
    assert seen["calls"] >= 1
    (row,) = [
        line
        for line in cluster.podling("graph").stdout.splitlines()
        if "kube-system/kube-dns" in line and "default/caller" in line
    ]
    assert row.split()[:4] == ["default/caller", "kube-system/kube-dns", "kube-system/kube-dns", "53/UDP"]


def test_calls_to_a_service_without_endpoints_are_refused_calls(cluster: RunningCluster) -> None:
    """Nobody answers for it, and the caller is known all the same: each attempt counts once."""
    spec = {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "empty"}, "spec": spec}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service))
    address = cluster.get("service", "empty")["spec"]["clusterIP"]
    attempts = f"for i in 1 2 3; do nc -w 1 {address} 80 </dev/null && exit 1; done; true"
    cluster.kubectl("exec", "caller", "--", "sh", "-c", attempts)
    (seen,) = eventually(lambda: calls(cluster, callee="Nobody", port=80))
    assert (seen["calls"], seen["refused"]) == (3, 3)


@pytest.fixture(scope="module")
def caller6(cluster: RunningCluster) -> Callable[[str], str]:
    """Run a script in a Pod of whose calls nothing else tells; the server has a label to be selected by."""
    cluster.kubectl("apply", "-f", "-", stdin=pod_manifest("caller6"))
    cluster.kubectl("label", "pod", "server", "app=server", "--overwrite")
    cluster.wait_ready("caller6")
    return lambda script: cluster.kubectl("exec", "caller6", "--", "sh", "-c", script).stdout


def calls6(cluster: RunningCluster, callee: str, port: int) -> list[dict[str, Any]]:
    return calls(cluster, caller="caller6", callee=callee, port=port)


@needs_ipv6
def test_calls_of_ipv6_are_told_as_those_of_ipv4(cluster: RunningCluster, caller6: Callable[[str], str]) -> None:
    """Answered, refused and blocked ones count for the same Pods; echoes are no calls; what is possible is told apart."""
    four, six = (entry["ip"] for entry in cluster.get("pod", "server")["status"]["podIPs"])
    caller6(f"ping -6 -c 2 -W 2 {six} && for i in 1 2 3; do wget -qO- http://[{six}]:8080/ || exit 1; done")
    caller6(f"wget -qO- http://{four}:8080/; nc -w 1 {six} 8099 </dev/null; true")
    (direct,) = eventually(lambda: [one for one in calls6(cluster, "server", 8080) if one["calls"] == 4])
    assert (direct["refused"], direct["unanswered"], direct["blocked"]) == (0, 0, 0)
    (dead,) = eventually(lambda: [one for one in calls6(cluster, "server", 8099) if one["refused"]])
    assert (dead["calls"], dead["refused"]) == (1, 1)

    spec = {
        "podSelector": {"matchLabels": {"app": "server"}},
        "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}],
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "not-six"},
        "spec": spec,
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    try:
        eventually(lambda: caller6(f"nc -w 1 {six} 8080 </dev/null || echo shut").strip() == "shut")
        (stopped,) = eventually(lambda: [one for one in calls6(cluster, "server", 8080) if one["blocked"]])
        assert stopped["blockedBy"] == "default/not-six Ingress"
        assert caller6(f"wget -qO- http://{four}:8080/").strip() == "hello"
        answer = cluster.podling("graph", "--reachable", "caller6", "server:8080").stdout.splitlines()
        assert answer[0] == "sometimes" and "  IPv4: yes" in answer and "  IPv6: no" in answer
        no = cluster.podling("graph", "--reachable", "caller6", f"[{six}]:8080", check=False)
        assert (no.returncode, no.stdout.splitlines()[0]) == (1, "no")
        assert cluster.podling("graph", "--reachable", "caller6", f"{four}:8080").stdout.startswith("yes\n")
    finally:
        cluster.kubectl("delete", "networkpolicy", "not-six")
    seen = json.loads(cluster.podling("graph", "-o", "json").stdout)["calls"]
    assert {call["protocol"] for call in seen} <= {"TCP", "UDP"}
    assert {call["caller"]["kind"] for call in seen if call["callee"].get("name") == "server"} == {"Pod"}


@needs_ipv6
def test_services_are_known_by_their_ipv6_addresses(cluster: RunningCluster, caller6: Callable[[str], str]) -> None:
    """Calls to either of a Service's addresses count for it, and those that nobody is there for as refused."""
    for name, app in (("shown", "server"), ("empty6", "nobody")):
        ports = [{"port": 80, "targetPort": 8080}]
        spec = {"ipFamilyPolicy": "RequireDualStack", "selector": {"app": app}, "ports": ports}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service))
    shown4, shown6 = cluster.get("service", "shown")["spec"]["clusterIPs"]
    empty6 = cluster.get("service", "empty6")["spec"]["clusterIPs"][1]
    eventually(lambda: "hello" in caller6(f"timeout 2 wget -qO- http://[{shown6}]:80/ || true"))
    before = sum(one["calls"] for one in calls6(cluster, "server", 80))
    assert caller6(f"wget -qO- http://[{shown6}]:80/; wget -qO- http://{shown4}:80/").split() == ["hello"] * 2
    eventually(lambda: sum(one["calls"] for one in calls6(cluster, "server", 80)) == before + 2)
    rows = [line.split() for line in cluster.podling("graph").stdout.splitlines()]
    assert ["default/caller6", "default/server", "default/shown", "80/TCP"] in [row[:4] for row in rows]
    assert cluster.podling("graph", "--reachable", "caller6", f"[{shown6}]:80").stdout.startswith("yes\n")

    caller6(f"for i in 1 2; do nc -w 1 {empty6} 80 </dev/null && exit 1; done; true")
    (nobody,) = eventually(lambda: [one for one in calls6(cluster, "Nobody", 80) if one["calls"] == 2])
    assert nobody["refused"] == 2

    resolver = cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIPs"][1]
    caller6(f"nslookup kubernetes.default.svc.cluster.local {resolver}")
    eventually(lambda: calls6(cluster, "kube-dns", 53))
