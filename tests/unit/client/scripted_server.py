"""A scripted API server behind the Transport Protocol: pods and events in a dict, and misbehaviour on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from podling.api import errors
from podling.api.errors import StatusError
from podling.client.parse import parse_object
from podling.client.transport import Answer, Call, ListPage, Selection, WatchEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from podling.api.resources import Resource


def pod(name: str, node: str = "", namespace: str = "default", uid: str = "", **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}"}
    if labels:
        metadata["labels"] = labels
    tree: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}
    if node:
        tree["spec"]["nodeName"] = node
    return tree


class ScriptedServer:
    """Serves one collection; what a test does to it is seen by all watches."""

    def __init__(self) -> None:
        self.revision = 10
        self.oldest = 10
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.list_refusals: deque[StatusError] = deque()
        self.watch_refusals: deque[StatusError] = deque()
        self.call_refusals: deque[StatusError] = deque()
        self.lists: list[str] = []
        self.watches: list[int] = []
        self.calls: list[Call] = []
        self._changed: list[asyncio.Future[None]] = []
        self._generation = 0

    # What a test does.

    def put(self, tree: dict[str, Any]) -> int:
        key = f"{tree['metadata']['namespace']}/{tree['metadata']['name']}"
        kind = "MODIFIED" if key in self.objects else "ADDED"
        return self._record(kind, key, tree)

    def remove(self, key: str) -> int:
        return self._record("DELETED", key, self.objects[key])

    def bookmark(self) -> None:
        self.revision += 1
        meta = {"resourceVersion": str(self.revision), "creationTimestamp": None}
        self.history.append((self.revision, "BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": meta}))
        self._wake()

    def close_watches(self) -> None:
        self._generation += 1
        self._wake()

    def forget_history(self) -> None:
        self.oldest = self.revision

    def begin_anew(self) -> None:
        """Restart without memory: revisions begin again."""
        self.objects.clear()
        self.history.clear()
        self.revision = self.oldest = 1
        self.close_watches()

    def _record(self, kind: str, key: str, tree: dict[str, Any]) -> int:
        self.revision += 1
        tree = {**tree, "metadata": {**tree["metadata"], "resourceVersion": str(self.revision)}}
        if kind == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = tree
        self.history.append((self.revision, kind, tree))
        self._wake()
        return self.revision

    def _wake(self) -> None:
        for waiter in self._changed:
            if not waiter.done():
                waiter.set_result(None)
        self._changed.clear()

    # What a client sees.

    async def call(self, call: Call) -> Answer:
        self.calls.append(call)
        if self.call_refusals:
            raise self.call_refusals.popleft()
        parts = call.path.split("/")
        namespace = parts[4] if len(parts) > 4 else ""
        name = parts[6] if len(parts) > 6 else ""
        key = f"{namespace}/{name}"
        if call.method == "POST":
            tree = msgspec.json.decode(call.body)
            key = f"{namespace}/{tree['metadata']['name']}"
            if key in self.objects:
                raise errors.already_exists("", "events", tree["metadata"]["name"])
            self.put(tree)
        elif key not in self.objects:
            raise errors.not_found("", "events", name)
        elif call.method == "PATCH":
            self.put({**self.objects[key], **msgspec.json.decode(call.body)})
        elif call.method == "DELETE":
            tree = self.objects[key]
            self.remove(key)
            return Answer(200, msgspec.json.encode(tree))
        return Answer(200, msgspec.json.encode(self.objects[key]))

    async def list(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        self.lists.append(continue_token or revision)
        await asyncio.sleep(0)
        if self.list_refusals:
            raise self.list_refusals.popleft()
        begin = int(continue_token or 0)
        trees = [tree for tree in self.objects.values() if self._selected(tree, selection)]
        end = begin + limit if limit and begin + limit < len(trees) else len(trees)
        items = [parse_object(resource, msgspec.json.encode(tree)) for tree in trees[begin:end]]
        return ListPage(items, self.revision, str(end) if end < len(trees) else "")

    async def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        self.watches.append(revision)
        if self.watch_refusals:
            raise self.watch_refusals.popleft()
        if revision < self.oldest:
            raise errors.expired(f"too old resource version: {revision} ({self.oldest})")
        if revision > self.revision:
            raise errors.timeout(f"Too large resource version: {revision}, current: {self.revision}")
        generation = self._generation
        while True:
            for number, kind, tree in list(self.history):
                if number > revision and self._selected(tree, selection):
                    revision = number
                    yield WatchEvent(kind, parse_object(resource, msgspec.json.encode(tree)))  # type: ignore[arg-type]
            if generation != self._generation:
                return
            waiter = asyncio.get_running_loop().create_future()
            self._changed.append(waiter)
            await waiter

    async def close(self) -> None:
        self.close_watches()

    @staticmethod
    def _selected(tree: dict[str, Any], selection: Selection) -> bool:
        meta = tree["metadata"]
        if selection.namespace and meta.get("namespace", selection.namespace) != selection.namespace:
            return False
        wanted = selection.fields.removeprefix("metadata.name=")
        return not selection.fields or meta.get("name", wanted) == wanted
