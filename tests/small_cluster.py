"""A small cluster behind the Transport Protocol, for components' tests: objects in a dict, watches, refusals on demand.

It knows what components rely on (uids, revisions, bindings, graceful deletion, finalizers) and nothing else: no
validation, no defaults.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from podling.api import errors
from podling.api.resources import NAMESPACES, STORED
from podling.client.parse import parse_object
from podling.client.transport import Answer, Call, ListPage, Selection, WatchEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from podling.api.errors import StatusError
    from podling.api.resources import Resource

Key = tuple[str, str, str]
"""Plural with group, namespace, name."""

_BY_PATH = {(r.prefix, r.plural): r for r in STORED}


class SmallCluster:
    """Objects of every stored resource."""

    def __init__(self) -> None:
        self.revision = 100
        self.objects: dict[Key, dict[str, Any]] = {}
        self.history: list[tuple[int, str, Key, dict[str, Any]]] = []
        self.calls: list[Call] = []
        self.refuse: Callable[[Call], StatusError | None] = lambda call: None
        self._waiters: list[asyncio.Future[None]] = []

    # What a test does.

    def put(self, resource: Resource[Any], tree: dict[str, Any]) -> dict[str, Any]:
        """Create or replace an object."""
        meta = tree["metadata"]
        key = (resource.plural, meta.get("namespace", ""), meta["name"])
        old = self.objects.get(key)
        uid = old["metadata"]["uid"] if old else meta.get("uid") or f"uid-{meta['name']}-{self.revision}"
        tree = {"apiVersion": resource.api_version, "kind": resource.kind} | tree
        tree["metadata"] = meta | {"uid": uid}
        if resource is NAMESPACES and not old:
            tree = tree | {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        return self._record("MODIFIED" if old else "ADDED", key, tree)

    def get(self, resource: Resource[Any], name: str, namespace: str = "") -> dict[str, Any] | None:
        return self.objects.get((resource.plural, namespace, name))

    def all(self, resource: Resource[Any]) -> list[dict[str, Any]]:
        return [tree for key, tree in self.objects.items() if key[0] == resource.plural]

    def remove(self, resource: Resource[Any], name: str, namespace: str = "") -> None:
        """Take an object away at once."""
        key = (resource.plural, namespace, name)
        self._record("DELETED", key, self.objects[key])

    def _record(self, kind: str, key: Key, tree: dict[str, Any]) -> dict[str, Any]:
        self.revision += 1
        tree = {**tree, "metadata": {**tree["metadata"], "resourceVersion": str(self.revision)}}
        if kind == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = tree
        self.history.append((self.revision, kind, key, tree))
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        return tree

    # What a client sees.

    async def call(self, call: Call) -> Answer:
        self.calls.append(call)
        await asyncio.sleep(0)
        refusal = self.refuse(call)
        if refusal is not None:
            raise refusal
        resource, namespace, name, sub = _parse(call.path)
        body = msgspec.json.decode(call.body) if call.body else {}
        if call.method == "POST" and not name:
            body["metadata"].setdefault("namespace", namespace)
            if (resource.plural, namespace, body["metadata"]["name"]) in self.objects:
                raise errors.already_exists(resource.group, resource.plural, body["metadata"]["name"])
            return _answer(self.put(resource, body))
        if call.method == "DELETE" and not name:
            for key in [k for k in self.objects if k[0] == resource.plural and k[1] == namespace]:
                self._delete(resource, key, {})
            return _answer({})
        key = (resource.plural, namespace, name)
        held = self.objects.get(key)
        if held is None:
            raise errors.not_found(resource.group, resource.plural, name)
        uid = body.get("metadata", {}).get("uid") or (body.get("preconditions") or {}).get("uid")
        if uid and uid != held["metadata"]["uid"]:
            raise errors.conflict(resource.group, resource.plural, name, "the UID in the precondition differs")
        if call.method == "GET":
            return _answer(held)
        if call.method == "DELETE":
            self._delete(resource, key, body)
            return _answer({})
        if sub == "binding":
            if held["spec"].get("nodeName"):
                why = f'pod {name} is already assigned to node "{held["spec"]["nodeName"]}"'
                raise errors.conflict("", "pods/binding", name, why)
            spec = held["spec"] | {"nodeName": body["target"]["name"]}
            self._record("MODIFIED", key, held | {"spec": spec})
            return _answer({"kind": "Status", "status": "Success"})
        if call.method == "PATCH":
            return _answer(self._update(key, _merge(held, body)))
        if sub == "finalize":
            body = held | {"spec": body.get("spec", {})}
        elif sub == "status":
            body = held | {"status": body["status"]}
        revision = body["metadata"].get("resourceVersion")
        if revision and revision != held["metadata"]["resourceVersion"]:
            raise errors.conflict(resource.group, resource.plural, name)
        return _answer(self._update(key, body))

    def _update(self, key: Key, tree: dict[str, Any]) -> dict[str, Any]:
        meta = tree["metadata"]
        finished = not meta.get("finalizers") and not (tree.get("spec") or {}).get("finalizers")
        going = meta.get("deletionTimestamp") and not meta.get("deletionGracePeriodSeconds")
        return self._record("DELETED" if going and finished else "MODIFIED", key, tree)

    def _delete(self, resource: Resource[Any], key: Key, options: dict[str, Any]) -> None:
        held = self.objects[key]
        meta, spec = held["metadata"], held.get("spec") or {}
        grace = options.get("gracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 0))
        grace = grace if spec.get("nodeName") else 0
        if not grace and not meta.get("finalizers") and not spec.get("finalizers"):
            self._record("DELETED", key, held)
            return
        meta = {"deletionTimestamp": "2023-11-14T22:13:20Z", "deletionGracePeriodSeconds": grace} | meta
        tree = held | {"metadata": meta}
        if resource is NAMESPACES:
            tree = tree | {"status": held["status"] | {"phase": "Terminating"}}
        self._record("MODIFIED", key, tree)

    async def list(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        await asyncio.sleep(0)
        del limit, continue_token, revision
        items = [_encoded(resource, tree) for key, tree in self.objects.items() if _selected(key, resource, selection)]
        return ListPage(items, self.revision, "")

    async def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        del timeout
        index = next((i for i, entry in enumerate(self.history) if entry[0] > revision), len(self.history))
        while True:
            while index < len(self.history):
                _, kind, key, tree = self.history[index]
                index += 1
                if _selected(key, resource, selection):
                    yield WatchEvent(kind, _encoded(resource, tree))  # type: ignore[arg-type]
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def close(self) -> None: ...


def _parse(path: str) -> tuple[Resource[Any], str, str, str]:
    parts = path.split("/")
    count = 3 if parts[1] == "api" else 4
    prefix, rest = "/".join(parts[:count]), parts[count:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (prefix, rest[2]) in _BY_PATH:
        namespace, rest = rest[1], rest[2:]
    resource = _BY_PATH[prefix, rest[0]]
    return resource, namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else ""


def _answer(tree: dict[str, Any]) -> Answer:
    return Answer(200, msgspec.json.encode(tree))


def _encoded(resource: Resource[Any], tree: dict[str, Any]) -> Any:
    return parse_object(resource, msgspec.json.encode(tree))


def _selected(key: Key, resource: Resource[Any], selection: Selection) -> bool:
    if key[0] != resource.plural or (selection.namespace and key[1] != selection.namespace):
        return False
    wanted = selection.fields.removeprefix("metadata.name=")
    return not selection.fields or key[2] == wanted


def _merge(held: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(held) if isinstance(held, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif name == "conditions":
            types = {c["type"]: c for c in merged.get(name, [])}
            for condition in value:
                types[condition["type"]] = {k: v for k, v in condition.items() if v is not None}
            merged[name] = list(types.values())
        elif isinstance(value, list) and value and "$patch" in value[0]:
            gone = {item["uid"] for item in value}
            merged[name] = [item for item in merged.get(name, []) if item["uid"] not in gone]
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged
