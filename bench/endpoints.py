"""How soon a Pod's readiness stands in its Service's EndpointSlice, and what that costs as the cluster grows.

A control plane in this process on the wall clock, its store on disk, no nodes: Pods are made and their status is
written as a kubelet would. Measured is the time from the answer to that write to the slice's change in a watch.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree
from podling.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from podling.api.types.core_v1 import Node, Pod, Service
from podling.cluster.control_plane import ADMIN, ControlPlane
from podling.store import open_store

PODS_EACH = 5
CHANGES = 60


def _pod(number: int, each: int) -> Pod:
    meta = {"name": f"p-{number}-{each}", "namespace": "default", "labels": {"app": f"app-{number}", "tier": "web"}}
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
    return from_tree(Pod, {"metadata": meta, "spec": spec})


def _status(number: int, each: int, ready: bool) -> dict:
    place = number * PODS_EACH + each
    ip = f"10.{244 + place // 65000}.{place // 250 % 256}.{place % 250 + 1}"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}}


async def _fill(plane: ControlPlane, services: int) -> None:
    client = plane.client(ADMIN)
    await client.create(NODES, from_tree(Node, {"metadata": {"name": "n1"}}))
    for number in range(services):
        spec = {"selector": {"app": f"app-{number}"}, "ports": [{"port": 80}]}
        tree = {"metadata": {"name": f"svc-{number}", "namespace": "default"}, "spec": spec}
        await client.create(SERVICES, from_tree(Service, tree))
    for number in range(services):
        await asyncio.gather(*(client.create(PODS, _pod(number, each)) for each in range(PODS_EACH)))
        for each in range(PODS_EACH):
            body = _status(number, each, ready=True)
            await client.patch(PODS, f"p-{number}-{each}", body, namespace="default", subresource="status")


async def measure(services: int, folder: Path) -> list[float]:
    """Return the milliseconds that each of so many changes took."""
    clock, chance = SystemClock(), Chance()
    store = open_store("sqlite", folder / str(services), clock)
    took = []
    async with Supervisor(clock) as supervisor:
        plane = ControlPlane(store, clock, chance, supervisor)
        await plane.start()
        plane.start_controllers("none")
        await _fill(plane, services)
        seen: asyncio.Queue[float] = asyncio.Queue()
        informer = plane.informers(ADMIN).of(ENDPOINT_SLICES)
        await informer.wait_synced()
        await asyncio.sleep(2)
        informer.on_change(lambda old, _: seen.put_nowait(time.perf_counter()) if old is not None else None)
        client = plane.client(ADMIN)
        for change in range(CHANGES):
            number, each = change * 7 % services, change % PODS_EACH
            for ready in (False, True):
                body = _status(number, each, ready=ready)
                await client.patch(PODS, f"p-{number}-{each}", body, namespace="default", subresource="status")
                began = time.perf_counter()
                took.append((await asyncio.wait_for(seen.get(), 10) - began) * 1000)
            await asyncio.sleep(0.02)
        await plane.close()
    await store.close()
    return took


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [10, 1000]
    with tempfile.TemporaryDirectory() as folder:
        for services in sizes:
            took = sorted(asyncio.run(measure(services, Path(folder))))
            median, most = statistics.median(took), took[-1]
            line = f"median {median:6.2f} ms   90 % {took[len(took) * 9 // 10]:6.2f}   most {most:6.2f}"
            print(f"{services:5} Services of {PODS_EACH} endpoints   {line}")


if __name__ == "__main__":
    main()
