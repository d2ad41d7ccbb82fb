"""How long Pods take, seen by a client that watches: create to Ready, delete to gone, one at a time and in a burst."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass

import aiohttp


@dataclass
class PodTimes:
    """Milliseconds and Pods a second."""

    create_to_ready: float
    create_to_ready_max: float
    delete_to_gone: float
    burst_per_second: float


def _pod(name: str, image: str, command: list[str]) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"podlat": "1"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": image, "imagePullPolicy": "IfNotPresent", "command": command}],
        },
    }


class _Watcher:
    def __init__(self, session: aiohttp.ClientSession, pods: str) -> None:
        self.session, self.pods = session, pods
        self.seen: dict[tuple[str, str], asyncio.Future[float]] = {}

    def instant(self, name: str, what: str) -> asyncio.Future[float]:
        return self.seen.setdefault((name, what), asyncio.get_running_loop().create_future())

    async def run(self) -> None:
        query = {"watch": "1", "labelSelector": "podlat=1"}
        async with self.session.get(self.pods, params=query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for line in answer.content:
                event = json.loads(line)
                now, pod = time.perf_counter(), event["object"]
                conditions = pod.get("status", {}).get("conditions", [])
                reached = []
                if event["type"] == "DELETED":
                    reached.append("gone")
                elif any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
                    reached.append("ready")
                for what in reached:
                    future = self.instant(pod["metadata"]["name"], what)
                    if not future.done():
                        future.set_result(now)


async def measure(
    url: str, token: str, image: str, *, serial: int = 10, burst: int = 30, command: tuple[str, ...] = ("sleep", "3600")
) -> PodTimes:
    """Run the client against `url`; every Pod that it made is gone when it returns."""
    connector = aiohttp.TCPConnector(ssl=False, limit=0)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, connector=connector, read_bufsize=2**22) as session:
        pods = f"{url}/api/v1/namespaces/default/pods"
        watcher = _Watcher(session, pods)
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(0.5)

        async def create(name: str) -> float:
            began = time.perf_counter()
            async with session.post(pods, json=_pod(name, image, list(command))) as answer:
                if answer.status >= 300:
                    raise SystemExit(await answer.text())
            return began

        async def delete(name: str) -> float:
            began = time.perf_counter()
            async with session.delete(f"{pods}/{name}") as answer:
                await answer.read()
            return await asyncio.wait_for(watcher.instant(name, "gone"), 120) - began

        starts, ends = [], []
        for number in range(serial):
            name = f"serial-{number}"
            began = await create(name)
            starts.append(await asyncio.wait_for(watcher.instant(name, "ready"), 120) - began)
            ends.append(await delete(name))
        names = [f"burst-{number}" for number in range(burst)]
        began = time.perf_counter()
        await asyncio.gather(*(create(name) for name in names))
        ready = await asyncio.wait_for(asyncio.gather(*(watcher.instant(name, "ready") for name in names)), 180)
        took = max(ready) - began
        await asyncio.gather(*(delete(name) for name in names))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return PodTimes(
        statistics.median(starts) * 1e3, max(starts) * 1e3, statistics.median(ends) * 1e3, burst / took if took else 0.0
    )
