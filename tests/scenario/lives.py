"""What the scenarios of whole clusters share: manifests with scripts, and a Pod's history as it is seen from outside."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from podling.api.resources import PODS
from podling.lifecycle.display import status_text

if TYPE_CHECKING:
    from podling.testing.cluster import SimulatedCluster


def pod(name: str = "web", *runs: dict[str, Any], namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """A Pod of one container `c` whose attempts are `runs`."""
    annotations = {"sim.podling.dev/script": json.dumps({"c": {"runs": list(runs)}})} if runs else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec},
    }


def display(cluster: SimulatedCluster, name: str = "web", namespace: str = "default") -> str:
    """What `kubectl get pod` prints as STATUS, or `gone`."""
    found = cluster.get(PODS, name, namespace)
    if found is None:
        return "gone"
    return status_text(found)


async def history(cluster: SimulatedCluster, limit: float, name: str = "web") -> list[tuple[float, str]]:
    """Let `limit` seconds pass, or less where the Pod goes: every state that it shows at rest, with its first instant."""
    seen: list[tuple[float, str]] = []

    def look() -> bool:
        state = display(cluster, name)
        if not seen or seen[-1][1] != state:
            seen.append((round(cluster.clock.monotonic(), 3), state))
        return state == "gone"

    with contextlib.suppress(TimeoutError):
        await cluster.run_until(look, limit)
    return seen
