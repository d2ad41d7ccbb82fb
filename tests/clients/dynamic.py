"""The official Python client as a tool of tests: kinds by name, and watches that wait for one event."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.running import RunningCluster

kubernetes = pytest.importorskip("kubernetes", reason="the official Python client is not installed")

# The library leaves its watch's sockets to the garbage collector.
LEAVES_SOCKETS = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
MERGE, STRATEGIC = (f"application/{kind}+json" for kind in ("merge-patch", "strategic-merge-patch"))
WHERE = {"namespace": "default"}


@contextmanager
def dynamic_client(cluster: RunningCluster) -> Iterator[Any]:
    """Yield the client that knows kinds by what the server tells of them."""
    warnings.simplefilter("ignore", DeprecationWarning)
    found = kubernetes.config.new_client_from_config(str(cluster.data / "kubeconfig"))
    try:
        yield kubernetes.dynamic.DynamicClient(found)
    finally:
        found.close()


def seen(of: Any, name: str, since: str, wanted: Callable[[str, dict[str, Any]], bool]) -> dict[str, Any]:
    """Watch one object from a resourceVersion on until an event is as wanted, and return the object in it."""
    watcher = kubernetes.watch.Watch()
    events = of.watch(
        **WHERE, field_selector=f"metadata.name={name}", resource_version=since, timeout=60, watcher=watcher
    )
    for event in events:
        if wanted(event["type"], event["raw_object"]):
            watcher.stop()
            found: dict[str, Any] = event["raw_object"]
            return found
    raise AssertionError("no such event came")
