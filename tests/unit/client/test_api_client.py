from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from podling.api import errors
from podling.api.codec import from_tree
from podling.api.resources import NODES, PODS
from podling.api.types.core_v1 import Pod
from podling.client import Answer, ApiClient, Call
from podling.client.parse import parse_list, parse_object, parse_watch_line
from tests.unit.client.scripted_server import ScriptedServer, pod

if TYPE_CHECKING:
    from collections.abc import Callable


class Echo:
    """A transport that keeps calls and answers a Pod."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def call(self, call: Call) -> Answer:
        self.calls.append(call)
        return Answer(200, msgspec.json.encode(pod("web")))


def test_verbs_become_calls(run: Callable[[Any], Any]) -> None:
    """Each verb is upstream's method, path, query, content type and body."""
    transport: Any = Echo()
    client = ApiClient(transport, manager="kubelet")
    web = from_tree(Pod, pod("web"))

    async def main() -> None:
        assert (await client.get(PODS, "web", "default")).metadata.name == "web"
        await client.create(PODS, web, dry_run=True)
        await client.update(PODS, web)
        await client.update_status(PODS, web)
        await client.patch(PODS, "web", {"a": None}, namespace="default", kind="strategic", subresource="status")
        await client.patch(PODS, "web", b"[]", namespace="default", kind="json")
        await client.patch(NODES, "n", {}, kind="apply", force=True)
        await client.delete(PODS, "web", "default", grace=0, uid="u", revision="7", propagation="Foreground")
        await client.delete_collection(PODS, "default", labels="a=b", fields="spec.nodeName=n")
        await client.create_subresource(PODS, "web", "binding", {"target": {}}, namespace="default")

    run(main())
    base, me = "/api/v1/namespaces/default/pods", ("fieldManager", "kubelet")
    seen = [(call.method, call.path, call.query, call.content_type) for call in transport.calls]
    assert seen == [
        ("GET", f"{base}/web", (), "application/json"),
        ("POST", base, (("dryRun", "All"), me), "application/json"),
        ("PUT", f"{base}/web", (me,), "application/json"),
        ("PUT", f"{base}/web/status", (me,), "application/json"),
        ("PATCH", f"{base}/web/status", (me,), "application/strategic-merge-patch+json"),
        ("PATCH", f"{base}/web", (me,), "application/json-patch+json"),
        ("PATCH", "/api/v1/nodes/n", (me, ("force", "true")), "application/apply-patch+yaml"),
        ("DELETE", f"{base}/web", (), "application/json"),
        ("DELETE", base, (("labelSelector", "a=b"), ("fieldSelector", "spec.nodeName=n")), "application/json"),
        ("POST", f"{base}/web/binding", (me,), "application/json"),
    ]
    assert msgspec.json.decode(transport.calls[1].body)["kind"] == "Pod"
    assert transport.calls[4].body == b'{"a":null}'
    assert msgspec.json.decode(transport.calls[7].body) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u", "resourceVersion": "7"},
    }


def test_listing_follows_pages(run: Callable[[Any], Any]) -> None:
    """`list` returns all pages' items typed; a revision compacted between pages leads to one whole list."""
    server = ScriptedServer()
    for number in range(7):
        server.put(pod(f"p{number}"))

    async def main() -> None:
        listing = await ApiClient(server).list(PODS, limit=3)
        assert [item.metadata.name for item in listing] == [f"p{number}" for number in range(7)]
        assert listing.revision == 17
        server.lists.clear()

        real = server.list

        async def compacted(*args: Any, **how: Any) -> Any:
            if how.get("continue_token"):
                server.list_refusals.append(errors.expired("the provided continue parameter is too old"))
            return await real(*args, **how)

        server.list = compacted  # type: ignore[method-assign]
        assert len(await ApiClient(server).list(PODS, limit=3)) == 7
        assert server.lists == ["", "3", ""]

    run(main())


@pytest.mark.parametrize(
    "wire",
    [
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"5","name":"a","namespace":"d","uid":"u"},"spec":{"nodeName":"n"}}',
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"d","uid":"u","resourceVersion":"5","labels":null},"spec":{"nodeName":"n"},"status":{}}',
        b'{ "metadata": {"name":"a","uid":"u","namespace":"d", "resourceVersion":"5"}, "spec":{"nodeName":"n"} }',
    ],
    ids=["ours", "upstream's", "an item of upstream's list"],
)
def test_objects_are_brought_into_the_stored_form(wire: bytes) -> None:
    """Whatever the server's order of fields: raw begins with the kind and has no revision, wire() has it again."""
    obj = parse_object(PODS, wire)
    assert obj.raw.startswith(b'{"kind":"Pod","apiVersion":"v1","metadata":{')
    assert b"resourceVersion" not in obj.raw
    assert (obj.revision, obj.name, obj.namespace, obj.uid) == (5, "a", "d", "u")
    assert obj.fields["spec.nodeName"] == "n"
    whole = msgspec.json.decode(wire)
    whole.setdefault("kind", "Pod")
    whole.setdefault("apiVersion", "v1")
    assert msgspec.json.decode(obj.wire()) == whole
    held = obj.view(Pod)
    assert obj.view(Pod) is held
    assert held.metadata.resource_version == "5"


def test_bookmark_and_empty_metadata() -> None:
    """A bookmark's object, which has a revision and nothing else, is still JSON."""
    kind, obj = parse_watch_line(
        PODS, b'{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9"}}}'
    )
    assert (kind, obj.revision) == ("BOOKMARK", 9)
    assert msgspec.json.decode(obj.wire())["metadata"] == {"resourceVersion": "9", "creationTimestamp": None}


def test_watch_error_is_raised() -> None:
    """An ERROR event is the `StatusError` that it carries."""
    status = errors.expired("too old").to_tree()
    with pytest.raises(errors.StatusError) as raised:
        parse_watch_line(PODS, msgspec.json.encode({"type": "ERROR", "object": status}))
    assert raised.value.is_expired


def test_list_without_items() -> None:
    """Go writes an empty list as null."""
    assert parse_list(PODS, b'{"kind":"PodList","metadata":{"resourceVersion":"3"},"items":null}') == ([], 3, "")


def test_client_is_cheap_to_import() -> None:
    """A component in-process pays neither for HTTP nor for YAML."""
    code = (
        "import sys, podling.client, podling.client.events, podling.client.wait;"
        "heavy = {'aiohttp', 'yaml', 'cryptography', 'podling.api.types.core_v1'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "src"})
