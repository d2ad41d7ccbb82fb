"""`make bench`: what this build does on this machine, beside upstream's figures and the marks to reach.

Starts a cluster of its own in a folder of its own, on a free port, with TLS on; takes every mark with public clients
(wrk, aiohttp) after yardsticks taken in the same minute; prints one table; leaves nothing behind. The figures under
"upstream" are Kubernetes 1.28.7's on a machine of two cores, taken with the same clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import calibrate
import given
import podlat
import policies
import processes
import services

HERE = Path(__file__).parent
PODLING = [sys.executable, "-m", "podling.cli"]
TOKEN = "bench-token"
IMAGE = "podling.dev/busybox:1"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A cluster that the bench starts and takes down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = _free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.tokens = folder / "tokens.csv"
        self.tokens.write_text(f'{TOKEN},bench,bench,"system:masters"\n')

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [*PODLING, *words, "--data-dir", str(self.data)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"podling {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def up(self) -> float:
        """Start, and return the seconds until the command has returned: node Ready, default ServiceAccount there."""
        began = time.perf_counter()
        self.command("up", "--detach", "--port", str(self.port), "--token-file", str(self.tokens))
        return time.perf_counter() - began

    @property
    def pid(self) -> int:
        return int((self.data / "lock").read_text())

    def request(self, method: str, path: str, body: object = None) -> dict:
        context = ssl._create_unverified_context()
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, context=context) as answer:
            return json.load(answer)

    def revision(self) -> int:
        """Return how many writes there have been."""
        return int(self.request("GET", "/api/v1/namespaces/kube-public/configmaps")["metadata"]["resourceVersion"])

    def wrk(self, script: str, path: str, connections: int, seconds: int) -> float:
        """Return requests a second; a refused one ends the bench."""
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / script), self.url + path],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        if "Non-2xx" in done.stdout:
            raise SystemExit(f"{script}: {done.stdout}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])


def _busybox_image(folder: Path) -> Path:
    from podling.runtime.oci.images.build import build_busybox

    build_busybox(folder / "busybox.tar", IMAGE)
    return folder / "busybox.tar"


def _pids(cluster: Cluster) -> list[int]:
    return processes.of_cluster(cluster.pid, (f"{cluster.data}/pods/",))  # conmon, named by the bundle it holds


def _ten_running(cluster: Cluster, name: str) -> None:
    """Create ten Pods and wait until they run."""
    pods = "/api/v1/namespaces/default/pods"
    for number in range(10):
        running = podlat._pod(f"{name}-{number}", IMAGE, ["sleep", "3600"])
        running["metadata"].setdefault("labels", {})["of"] = name
        cluster.request("POST", pods, running)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = cluster.request("GET", f"{pods}?labelSelector=of%3D{name}&fieldSelector=status.phase%3DRunning")
        if len(found["items"]) == 10:
            return
        time.sleep(0.2)
    raise SystemExit(f"ten Pods do not all run: {name}")


def _rows(cluster: Cluster, seconds: int, rest: int) -> list[tuple[str, str, str, float, str, str]]:
    """Measure; rows of (what, upstream, mark, value, unit, yardstick)."""
    rows = []
    first = cluster.up()
    cluster.command("down")
    again = cluster.up()
    rows.append(("up --detach, first start", "14.4 s", "1.5 s", first, "s", ""))
    rows.append(("up --detach, next start", "14.4 s", "1.5 s", again, "s", ""))
    cluster.command("image", "load", str(_busybox_image(cluster.folder)))
    times = asyncio.run(podlat.measure(cluster.url, TOKEN, IMAGE))
    rows.append(
        ("create to Ready, one at a time, median", "985 ms", "150 ms", times.create_to_ready, "ms", "conmon + runc")
    )
    rows.append(("30 Pods at once, all Ready", "3.3-4.2/s", "15/s", times.burst_per_second, "/s", ""))
    starts = asyncio.run(given.measure(cluster.url, TOKEN, IMAGE))
    rows.append(("a Pod with one of each volume, against a bare one", "", "1.5 x", starts.given / starts.bare, "x", ""))
    rows.append(("delete to gone, grace 1 s, median", "4.0 s", "1.3 s", times.delete_to_gone / 1e3, "s", ""))
    _ten_running(cluster, "few")
    time.sleep(2)
    used = processes.pss_megabytes(_pids(cluster))
    rows.append(("memory with 10 running Pods and no others", "780 MB", "120 MB", used, "MB", ""))

    cluster.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}
    )
    time.sleep(0.3)
    pod = json.loads((HERE / "pod.json").read_text())
    cluster.request("POST", "/api/v1/namespaces/bench/pods", pod)
    one = "/api/v1/namespaces/bench/pods/one"
    rows.append(
        (
            "GET a 3 KB Pod, 8 connections",
            "1014-2137/s",
            "4000/s",
            cluster.wrk("get.lua", one, 8, seconds),
            "/s",
            "tls echo",
        )
    )
    rows.append(
        (
            "merge patch one Pod, 1 connection",
            "110-149/s",
            "500/s",
            cluster.wrk("patch.lua", one, 1, seconds),
            "/s",
            "fsync",
        )
    )
    for number in range(499):
        pod["metadata"]["name"] = f"listed-{number}"
        cluster.request("POST", "/api/v1/namespaces/bench/pods", pod)
    pods = "/api/v1/namespaces/bench/pods"
    rows.append(
        ("LIST 500 Pods, 2 connections", "32-38/s", "150/s", cluster.wrk("get.lua", pods, 2, seconds), "/s", "tls echo")
    )
    rows.append(
        (
            "create Pods, 8 connections, durable",
            "356-517/s",
            "1000/s",
            cluster.wrk("create.lua", pods, 8, seconds),
            "/s",
            "fsync",
        )
    )
    before = cluster.revision()
    _ten_running(cluster, "rest")
    time.sleep(1)
    rows.append(("writes a Pod, create to Ready", "", "", (cluster.revision() - before) / 10, "", ""))
    few, many = services.measure(10, 1000)
    rows.append(("1000 Services x 5 endpoints, all in the rules", "", "3 s", many.install, "s", ""))
    rows.append(("one endpoint's change in the rules, median", "", "50 ms", many.change, "ms", ""))
    rows.append(("the same against that of 10 Services", "", "2 x", many.change / few.change, "x", ""))
    few_policies, many_policies = policies.series((10, 20), (500, 200))
    rows.append(("500 NetworkPolicies x 200 Pods, all in force", "", "", many_policies.install, "ms", ""))
    rows.append(("one Pod's change among them, median", "", "50 ms", many_policies.pod, "ms", ""))
    rows.append(("one policy's change among them, median", "", "50 ms", many_policies.policy, "ms", ""))
    rows.append(("the same against that of 10", "", "", many_policies.policy / few_policies.policy, "x", ""))
    time.sleep(4)
    pids = _pids(cluster)
    stored = len(cluster.request("GET", "/api/v1/namespaces/bench/pods")["items"])
    words = f"memory with 20 running Pods and {stored} stored"
    rows.append((words, "1500 MB", "", processes.pss_megabytes(pids), "MB", ""))
    cpu, wakings = processes.at_rest(pids, rest)
    rows.append((f"CPU over {rest} s at rest, of one core", "6.7 %", "1 %", cpu, "%", ""))
    rows.append((f"wake-ups over {rest} s at rest", "", "", wakings, "/s", ""))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="length of each wrk run")
    parser.add_argument("--rest", type=int, default=60, help="seconds over which CPU at rest is taken")
    choices = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("the bench needs wrk: apt-get install wrk")
    yardsticks = calibrate.calibrate()
    print("yardsticks of this minute: " + ", ".join(f"{name} {value:.3f} ms" for name, value in yardsticks.items()))
    with tempfile.TemporaryDirectory(prefix="podling-bench-") as name:
        cluster = Cluster(Path(name))
        try:
            rows = _rows(cluster, choices.seconds, choices.rest)
        finally:
            subprocess.run([*PODLING, "down", "--data-dir", str(cluster.data)], check=False)
    print(f"\n{'what':<46} {'upstream':>12} {'to reach':>9} {'here':>11}   against the yardstick")
    for what, upstream, mark, value, unit, yardstick in rows:
        ratio = ""
        if yardstick in yardsticks:
            milliseconds = value if unit == "ms" else 1e3 / value
            ratio = f"{milliseconds / yardsticks[yardstick]:.1f} x {yardstick}"
        print(f"{what:<46} {upstream:>12} {mark:>9} {value:>9.2f} {unit:<3} {ratio}")


if __name__ == "__main__":
    main()
