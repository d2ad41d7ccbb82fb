"""The published description of the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from podling.api import resources as r
from podling.apiserver.openapi import OpenApi
from podling.apiserver.openapi.documents import V2_PROTOBUF, V3_PROTOBUF
from podling.apiserver.record import Record

OLD_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def api() -> OpenApi:
    verbs = {"exec": ("create", "get"), "eviction": ("create",), "log": ("get",)}
    pods = Record(r.PODS, "/", None, subresources=("eviction", "exec", "log", "status"), subresource_verbs=verbs)  # type: ignore[arg-type]
    return OpenApi([pods, Record(r.CLUSTER_ROLES, "/", None)], (r.TOKEN_REVIEWS,))  # type: ignore[arg-type]


def get(path: str, accept: str = "") -> Any:
    answer = api().answer(path, accept)
    assert answer is not None
    assert answer.content_type == "application/json"
    return msgspec.json.decode(answer.body)


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, list):
        for part in tree:
            yield from references(part)
    elif isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"]
        for part in tree.values():
            yield from references(part)


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3/api/v1", "/openapi/v3/apis/rbac.authorization.k8s.io/v1"])
def test_whole(path: str) -> None:
    """Every reference of a document leads to a definition in it, and operation ids are unique."""
    tree = get(path)
    definitions = tree["definitions"] if path.endswith("v2") else tree["components"]["schemas"]
    prefix = "#/definitions/" if path.endswith("v2") else "#/components/schemas/"
    assert set(references(tree)) <= {prefix + name for name in definitions}
    ids = [item[m]["operationId"] for item in tree["paths"].values() for m in item if m != "parameters"]
    assert len(ids) == len(set(ids))


def test_what_clients_look_for() -> None:
    """kubectl finds strict validation, kinds and actions where upstream has them, in both versions."""
    for tree in (get("/openapi/v2"), get("/openapi/v3/api/v1")):
        item = tree["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]
        patch = item["patch"]
        assert patch["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
        assert patch["x-kubernetes-action"] == "patch"
        assert {"fieldValidation", "force"} <= {p["name"] for p in patch["parameters"]}
        assert [p["name"] for p in item["parameters"]] == ["namespace", "name"]
        paths = tree["paths"]
        assert paths["/api/v1/pods"]["get"]["x-kubernetes-action"] == "list"
        assert paths["/api/v1/namespaces/{namespace}/pods"]["delete"]["x-kubernetes-action"] == "deletecollection"
        assert paths["/api/v1/namespaces/{namespace}/pods/{name}/exec"]["post"]["x-kubernetes-action"] == "connect"
        eviction = paths["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]["post"]
        assert eviction["x-kubernetes-group-version-kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}


def test_v3_spelling() -> None:
    """In v3 what stands beside a reference wraps it, and values of two types say so."""
    schemas = get("/openapi/v3/api/v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"]
    assert spec["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]
    assert spec["description"]
    either = schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert either["oneOf"] == [{"type": "integer"}, {"type": "string"}]


def test_index() -> None:
    """The v3 index leads to each group's document, by an address that stays while the document does."""
    index = get("/openapi/v3")["paths"]
    assert list(index) == ["api/v1", "apis/authentication.k8s.io/v1", "apis/rbac.authorization.k8s.io/v1"]
    assert index == get("/openapi/v3", "application/json, */*")["paths"]
    assert all(entry["serverRelativeURL"].startswith(f"/openapi/v3/{group}?hash=") for group, entry in index.items())
    assert api().answer("/openapi/v3/apis/none/v1") is None


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the fields of a protobuf message; a flag's payload is empty."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        size = varint()
        if tag & 7 == 2:
            assert at + size <= len(data)
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            assert (tag & 7, size) == (0, 1)
            yield tag >> 3, b""


def down(data: bytes, *path: int | tuple[int, str]) -> bytes:
    """Follow field numbers; a number with a name chooses among named entries and goes to the value."""
    for step in path:
        if isinstance(step, tuple):
            entries = [dict(fields(part)) for number, part in fields(data) if number == step[0]]
            data = next(entry[2] for entry in entries if entry[1].decode() == step[1])
        else:
            data = next(part for number, part in fields(data) if number == step)
    return data


def test_v2_as_protobuf() -> None:
    """Go clients ask for v2 as protobuf, in the old spelling of the type as well; all definitions are there."""
    for accept in (V2_PROTOBUF, OLD_V2):
        answer = api().answer("/openapi/v2", accept)
        assert answer is not None and answer.content_type == V2_PROTOBUF
        assert down(answer.body, 1) == b"2.0"
        names = [dict(fields(part))[1].decode() for _, part in fields(down(answer.body, 9))]
        assert names == list(get("/openapi/v2")["definitions"])
        spec = down(answer.body, 9, (1, "io.k8s.api.core.v1.Pod"), 25, (1, "spec"))
        assert down(spec, 1) == b"#/definitions/io.k8s.api.core.v1.PodSpec"
        containers = down(answer.body, 9, (1, "io.k8s.api.core.v1.PodSpec"), 25, (1, "containers"))
        assert down(containers, 22, 1) == b"array"
        assert down(containers, 31, 1) == b"x-kubernetes-list-map-keys"
        patch = down(answer.body, 8, (2, "/api/v1/namespaces/{namespace}/pods/{name}"), 8)
        query = [
            down(part, 1, 2, 3, 4)
            for number, part in fields(patch)
            if number == 8 and dict(fields(down(part, 1))).get(2)
        ]
        assert b"fieldValidation" in query


def test_v3_as_protobuf() -> None:
    """Who asks for v3 as protobuf gets it; who would rather have JSON does not."""
    answer = api().answer("/openapi/v3/api/v1", V3_PROTOBUF)
    assert answer is not None and answer.content_type == V3_PROTOBUF
    assert down(answer.body, 1) == b"3.0.0"
    spec = down(answer.body, 5, 1, (1, "io.k8s.api.core.v1.Pod"), 1, 31, (1, "spec"), 1, 26, 2)
    assert down(spec, 1) == b"#/components/schemas/io.k8s.api.core.v1.PodSpec"
    assert get("/openapi/v3/api/v1", f"application/json, {V3_PROTOBUF}")["openapi"] == "3.0.0"
