"""What probing by exec costs: CPU of Podling and of the low-level runtime that it starts, for each probe.

    python bench/execs.py [--pods 10] [--seconds 10]

Starts a cluster of its own with real containers; every Pod is probed by `true` once a second. The same Pods without
probes are measured first and taken off. The commands' own time in their containers is in the figure: it is a child's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from run import IMAGE, Cluster, _busybox_image

_TICKS = os.sysconf("SC_CLK_TCK")
_PODS = "/api/v1/namespaces/default/pods"


def _spent(pid: int) -> float:
    """Return the CPU seconds of a process and of all children that it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def _measure(cluster: Cluster, name: str, pods: int, seconds: float, probe: dict[str, object]) -> float:
    """Return CPU seconds for each second while so many Pods run, each with `probe`."""
    for number in range(pods):
        container = {"name": "main", "image": IMAGE, "command": ["sleep", "3600"], **probe}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        meta = {"name": f"{name}-{number}"}
        cluster.request("POST", _PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    while not all(_is_ready(pod) for pod in cluster.request("GET", _PODS)["items"]):
        time.sleep(0.2)
    time.sleep(2)
    before, began = _spent(cluster.pid), time.perf_counter()
    time.sleep(seconds)
    spent = (_spent(cluster.pid) - before) / (time.perf_counter() - began)
    for number in range(pods):
        cluster.request("DELETE", f"{_PODS}/{name}-{number}?gracePeriodSeconds=0")
    while cluster.request("GET", _PODS)["items"]:
        time.sleep(0.2)
    return spent


def _is_ready(pod: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="podling-bench-") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.up()
            cluster.command("image", "load", str(_busybox_image(cluster.folder)))
            idle = _measure(cluster, "idle", wanted.pods, wanted.seconds, {})
            probe = {"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
            busy = _measure(cluster, "probed", wanted.pods, wanted.seconds, probe)
        finally:
            cluster.command("down")
    print(f"{wanted.pods} probes by exec a second: {busy:.3f} cores, {idle:.3f} without")
    print(f"one probe by exec: {1000 * (busy - idle) / wanted.pods:.1f} ms of CPU")


if __name__ == "__main__":
    main()
