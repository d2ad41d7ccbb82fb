"""Owns the OpenAPI documents: which definitions each needs, their v2 and v3 spelling, and their finished bytes.

Nothing is made before it is asked for, and nothing is kept but compressed bytes: 2 MB of text that most clients fetch
once or never. The first `answer` takes some tens of milliseconds; a front door with a busy loop asks `is_ready` and
calls it in a thread if not.
"""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.apiserver.discovery import Document, served
from podling.apiserver.openapi.custom import old, plain
from podling.apiserver.openapi.operations import JSON, META, Operation, Parameter, operations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.api.resources import Resource
    from podling.apiserver.discovery import Served
    from podling.apiserver.record import Record

V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V3_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
_OLD_V2: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_OLD_V3: Final = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"

_PRODUCES: Final = (JSON, "application/json;stream=watch", "application/yaml")
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_ALWAYS: Final = ("APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "DeleteOptions", "Status", "WatchEvent")


class OpenApi:
    """Answers `/openapi/v2`, `/openapi/v3` and what lies under it."""

    def __init__(
        self,
        records: Iterable[Record],
        virtual: Iterable[Resource[Any]] = (),
        version: str = "v1.37.0",
        *,
        before: OpenApi | None = None,
    ) -> None:
        """`before` had other records: what it made of those that are here too is taken over."""
        records = tuple(records)
        self._served = served(records, virtual)
        self._version = version
        self._definitions = {it.resource.prefix.strip("/"): dict[str, Any]() for it in records}
        for it in records:
            self._definitions[it.resource.prefix.strip("/")] |= it.model.definitions
        self._made: dict[tuple[str, bool], _Kept] = {}
        if before is not None:
            groups = set(self._groups()) & set(before._groups())
            same = {f"/openapi/v3/{group}" for group in groups if self._url(group) == before._url(group)}
            self._made = {key: kept for key, kept in before._made.items() if key[0] in same}

    def is_ready(self, path: str, accept: str = "") -> bool:
        """Whether `answer` has these bytes already, and so returns at once."""
        return self._key(path, accept) in self._made

    def answer(self, path: str, accept: str = "") -> Document | None:
        """Return what a GET of `path` answers, `None` where there is no such document; `accept` is the header.

        The body is JSON, or protobuf where the client asks for that first. It is identical for all callers, and its
        ETag (and, in v3, the `hash` in its address) changes with it.
        """
        key = self._key(path, accept)
        kept = self._made.get(key)
        if kept is None:
            body = self._make(*key)
            if body is None:
                return None
            kept = self._made[key] = _Kept(gzip.compress(body, 6), hashlib.sha256(body).hexdigest().upper())
        kind = JSON if not key[1] else V2_PROTOBUF if key[0] == "/openapi/v2" else V3_PROTOBUF
        return Document(gzip.decompress(kept.compressed), kind, f'"{kept.digest}"')

    def compressed(self, path: str, accept: str = "") -> bytes | None:
        """Return the body of `answer` in gzip's form, for clients that take `Content-Encoding: gzip`."""
        if self.answer(path, accept) is None:
            return None
        return self._made[self._key(path, accept)].compressed

    def _key(self, path: str, accept: str) -> tuple[str, bool]:
        path = path.rstrip("/")
        return path, path != "/openapi/v3" and _prefers_protobuf(accept)

    def _make(self, path: str, protobuf: bool) -> bytes | None:
        if path == "/openapi/v2":
            tree = self._v2(protobuf=protobuf)
        elif path == "/openapi/v3":
            return msgspec.json.encode(
                {"paths": {group: {"serverRelativeURL": self._url(group)} for group in self._groups()}}
            )
        elif path.startswith("/openapi/v3/") and path.removeprefix("/openapi/v3/") in self._groups():
            tree = self._v3(path.removeprefix("/openapi/v3/"), protobuf=protobuf)
        else:
            return None
        if not protobuf:
            return msgspec.json.encode(tree)
        from podling.apiserver.openapi import protobuf as forms

        return forms.v2_document(tree) if path == "/openapi/v2" else forms.v3_document(tree)

    def _groups(self) -> list[str]:
        return list(dict.fromkeys(_group_path(it) for it in self._served))

    def _url(self, group: str) -> str:
        # The hash stands for the document, and is made of what the document is made of: making all to list them would
        # cost every client what few need.
        words: list[object] = [
            (it.resource, it.verbs, it.subresources) for it in self._served if _group_path(it) == group
        ]
        words.append(self._definitions.get(group))
        digest = hashlib.sha256(repr((self._version, words)).encode()).hexdigest().upper()
        return f"/openapi/v3/{group}?hash={digest}"

    def _v2(self, *, protobuf: bool) -> dict[str, Any]:
        every = operations(self._served)
        paths: dict[str, dict[str, Any]] = {}
        for operation in every:
            item = paths.setdefault(operation.path, {})
            item[operation.method] = _operation2(operation)
            item.setdefault("parameters", [_parameter2(p) for p in operation.path_parameters])
        form = plain if protobuf else old
        custom = {name: form(it) for group in self._definitions.values() for name, it in group.items()}
        definitions = _closure(_roots(every), custom)
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": dict(sorted(paths.items())),
            "definitions": definitions,
        }

    def _v3(self, group: str, *, protobuf: bool) -> dict[str, Any]:
        every = operations(it for it in self._served if _group_path(it) == group)
        paths: dict[str, dict[str, Any]] = {}
        for operation in every:
            item = paths.setdefault(f"{operation.path}", {})
            item[operation.method] = _operation3(operation)
            item.setdefault("parameters", [_parameter3(p) for p in operation.path_parameters])
        custom = self._definitions.get(group, {})
        if protobuf:
            custom = {name: plain(it) for name, it in custom.items()}
        schemas = {name: _definition3(name, tree) for name, tree in _closure(_roots(every), custom).items()}
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": dict(sorted(paths.items())),
            "components": {"schemas": schemas},
        }


class _Kept(msgspec.Struct, frozen=True):
    compressed: bytes
    digest: str


def _group_path(it: Served) -> str:
    return it.resource.prefix.strip("/")


def _prefers_protobuf(accept: str) -> bool:
    """Whether the first form that `accept` names and is spoken here is protobuf."""
    for clause in accept.split(","):
        media = clause.split(";", 1)[0].strip()
        if media in (V2_PROTOBUF, V3_PROTOBUF, _OLD_V2, _OLD_V3):
            return True
        if media in (JSON, "*/*", "application/*", ""):
            return False
    return False


def _roots(every: Iterable[Operation]) -> list[str]:
    names = [name for operation in every for name in (operation.answers, operation.takes)]
    return [*names, *(META + kind for kind in _ALWAYS)]


def _closure(roots: Iterable[str], custom: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definitions of `roots` and of all that they refer to, by name."""
    from podling.api import openapi_data

    published = {**openapi_data.load(), **custom} if custom else openapi_data.load()
    found: dict[str, Any] = {}
    queue = [name for name in roots if name in published]
    while queue:
        name = queue.pop()
        if name not in found:
            found[name] = published[name]
            queue += _references(published[name])
    # The decoded whole is not to stay in memory for the sake of a document that is made once.
    openapi_data.load.cache_clear()
    return dict(sorted(found.items()))


def _references(tree: Any) -> list[str]:
    if isinstance(tree, list):
        return [name for part in tree for name in _references(part)]
    if not isinstance(tree, dict):
        return []
    reference = tree.get("$ref")
    here = [reference.rpartition("/")[2]] if isinstance(reference, str) else []
    return here + [name for part in tree.values() for name in _references(part)]


def _gvk(operation: Operation) -> dict[str, str]:
    return {"group": operation.group, "version": operation.version, "kind": operation.kind}


def _operation2(operation: Operation) -> dict[str, Any]:
    parameters = [_parameter2(parameter) for parameter in operation.parameters]
    if operation.takes:
        schema = {"$ref": f"#/definitions/{operation.takes}"}
        body = {"name": "body", "in": "body", "required": operation.method != "delete", "schema": schema}
        parameters.insert(0, body)
    ok: dict[str, Any] = {"description": "OK"}
    ok["schema"] = {"$ref": f"#/definitions/{operation.answers}"} if operation.answers else {"type": "string"}
    return {
        "description": operation.description,
        "consumes": list(operation.consumes or ("*/*",)),
        "produces": list(_PRODUCES if operation.answers else ("*/*",)),
        "schemes": ["https"],
        "tags": [operation.tag],
        "operationId": operation.id,
        "parameters": parameters,
        "responses": {"200": ok, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": _gvk(operation),
    }


def _operation3(operation: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"type": "string"}
    if operation.answers:
        answer = {"$ref": f"#/components/schemas/{operation.answers}"}
    produces = _PRODUCES if operation.answers else ("*/*",)
    tree: dict[str, Any] = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "parameters": [_parameter3(parameter) for parameter in operation.parameters],
    }
    if operation.takes:
        schema = {"$ref": f"#/components/schemas/{operation.takes}"}
        tree["requestBody"] = {
            "content": {media: {"schema": schema} for media in operation.consumes},
            "required": operation.method != "delete",
        }
    tree["responses"] = {
        "200": {"description": "OK", "content": {media: {"schema": answer} for media in produces}},
        "401": {"description": "Unauthorized"},
    }
    tree["x-kubernetes-action"] = operation.action
    tree["x-kubernetes-group-version-kind"] = _gvk(operation)
    return tree


def _parameter2(parameter: Parameter) -> dict[str, Any]:
    tree = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "type": parameter.type,
        "uniqueItems": True,
    }
    return tree | ({"required": True} if parameter.place == "path" else {})


def _parameter3(parameter: Parameter) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }
    return tree | ({"required": True} if parameter.place == "path" else {})


def _definition3(name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    if name == _INT_OR_STRING:
        return _described(tree, {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
    if name == _QUANTITY:
        return _described(tree, {"oneOf": [{"type": "string"}, {"type": "number"}]})
    return _schema3(tree)


def _described(tree: Mapping[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": tree["description"], **schema} if "description" in tree else schema


def _schema3(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a v2 schema as v3 has it: references point elsewhere, and what stands beside one wraps it in `allOf`."""
    made: dict[str, Any] = {}
    for key, value in tree.items():
        match key:
            case "$ref":
                continue
            case "properties":
                made[key] = {name: _schema3(part) for name, part in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                made[key] = _schema3(value)
            case _:
                made[key] = value
    if "$ref" in tree:
        reference = {"$ref": "#/components/schemas/" + tree["$ref"].rpartition("/")[2]}
        return {**made, "allOf": [reference]} if made else reference
    return made
