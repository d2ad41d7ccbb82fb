"""What volumes cost at a Pod's start: one that has one of each kind beside a bare one, in turns, create to Ready."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

import aiohttp
import podlat


@dataclass
class Starts:
    """Milliseconds, medians and the least of each."""

    bare: float
    given: float
    bare_least: float
    given_least: float


OBJECTS = {
    "configmaps": {"data": {"a": "1", "b": "2"}},
    "secrets": {"stringData": {"a": "1"}},
    "persistentvolumeclaims": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    },
}


def _volumes(image: str) -> dict[str, dict]:
    """One of each kind that a node mounts."""
    fields = {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}
    token = {"path": "token", "expirationSeconds": 3600}
    return {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory"}},
        "config": {"configMap": {"name": "given"}},
        "secret": {"secret": {"secretName": "given"}},
        "fields": {"downwardAPI": fields},
        "all": {"projected": {"sources": [
            {"serviceAccountToken": token}, {"configMap": {"name": "given"}}, {"secret": {"name": "given"}},
            {"downwardAPI": fields},
        ]}},
        "host": {"hostPath": {"path": "/etc/hostname"}},
        "image": {"image": {"reference": image, "pullPolicy": "IfNotPresent"}},
        "claim": {"persistentVolumeClaim": {"claimName": "given"}},
    }  # fmt: skip


def _given(name: str, image: str) -> dict:
    pod = podlat._pod(name, image, ["sleep", "3600"])
    volumes = _volumes(image)
    pod["spec"]["volumes"] = [{"name": volume, **source} for volume, source in volumes.items()]
    mounts = [{"name": volume, "mountPath": f"/given/{volume}"} for volume in volumes]
    pod["spec"]["containers"][0]["volumeMounts"] = [*mounts, {"name": "disk", "mountPath": "/part", "subPath": "a/b"}]
    return pod


async def measure(url: str, token: str, image: str, *, turns: int = 10) -> Starts:
    """Start bare and given Pods in turns; all that was made is gone when it returns."""
    connector = aiohttp.TCPConnector(ssl=False, limit=0)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers, connector=connector, read_bufsize=2**22) as session:
        root = f"{url}/api/v1/namespaces/default"
        watcher = podlat._Watcher(session, f"{root}/pods")
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(0.5)

        async def start(pod: dict) -> float:
            name = pod["metadata"]["name"]
            began = time.perf_counter()
            async with session.post(f"{root}/pods", json=pod) as answer:
                if answer.status >= 300:
                    raise SystemExit(await answer.text())
            took = await asyncio.wait_for(watcher.instant(name, "ready"), 120) - began
            async with session.delete(f"{root}/pods/{name}") as answer:
                await answer.read()
            await asyncio.wait_for(watcher.instant(name, "gone"), 120)
            return took * 1e3

        for plural, tree in OBJECTS.items():
            async with session.post(f"{root}/{plural}", json={"metadata": {"name": "given"}, **tree}) as answer:
                if answer.status >= 300:
                    raise SystemExit(await answer.text())
        await start(_given("given-first", image))  # binds the claim
        bare, given = [], []
        for turn in range(turns):
            bare.append(await start(podlat._pod(f"bare-{turn}", image, ["sleep", "3600"])))
            given.append(await start(_given(f"given-{turn}", image)))
        for plural in OBJECTS:
            async with session.delete(f"{root}/{plural}/given") as answer:
                await answer.read()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return Starts(statistics.median(bare), statistics.median(given), min(bare), min(given))
