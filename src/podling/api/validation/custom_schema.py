"""Schemas of CustomResourceDefinitions: structural, so that what is to be pruned and filled in is never in question.

Owns upstream's rules for one node and what it may have below: each says its type; alternatives (`anyOf` and the like)
only judge values; metadata is known by itself; defaults fit their own schema. Schemas are plain trees.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, Final

from podling.api.custom.patterns import compiled
from podling.api.custom.pruning import prune
from podling.api.custom.structural import schema_of
from podling.api.custom.values import validator
from podling.api.validation.field import Path, forbidden, invalid, not_supported, required

if TYPE_CHECKING:
    from podling.api.errors import Cause

_Node = dict[str, Any]

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = (
    "$ref", "$schema", "additionalItems", "definitions", "dependencies", "id", "patternProperties",
)  # fmt: skip
_NOT_IN_ALTERNATIVES: Final = (
    "additionalProperties", "default", "description", "nullable", "title", "type",
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-preserve-unknown-fields",
)  # fmt: skip
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"


def check_root(node: _Node, path: Path, causes: list[Cause]) -> None:
    """Check the schema of a whole object."""
    kind = node.get("type", "")
    if not kind:
        causes.append(required(path / "type", "must not be empty at the root"))
    elif kind != "object":
        causes.append(invalid(path / "type", kind, "must be object at the root"))
    if node.get("nullable"):
        causes.append(forbidden(path / "nullable", "nullable cannot be true at the root"))
    _check(node, path, causes, is_root=True)


def _check(node: _Node, path: Path, causes: list[Cause], *, is_root: bool = False) -> None:
    before = len(causes)
    _check_node(node, path, causes)
    _check_metadata(node, path, causes, is_root=is_root)
    _check_lists(node, path, causes)
    for name, child in node.get("properties", {}).items():
        _check_child(child, (path / "properties").key(name), causes, "object fields")
    rest = node.get("additionalProperties")
    if rest is False:
        causes.append(forbidden(path / "additionalProperties", "must not be false"))
    elif rest is not None and node.get("properties"):
        said = "additionalProperties and properties are mutual exclusive"
        causes.append(forbidden(path / "additionalProperties", said))
    if isinstance(rest, dict):
        _check_child(rest, path / "additionalProperties", causes, "object fields")
    items = node.get("items")
    if isinstance(items, dict):
        _check_child(items, path / "items", causes, "array items")
    elif isinstance(items, list):
        causes.append(forbidden(path / "items", "items must be a schema object and not an array"))
    for name in ("allOf", "anyOf", "oneOf"):
        for i, each in enumerate(node.get(name, ())):
            if not _is_int_or_string_form(node, name, each):
                _check_alternative(each, node, (path / name)[i], causes)
    if isinstance(node.get("not"), dict):
        _check_alternative(node["not"], node, path / "not", causes)
    if "default" in node and len(causes) == before:
        _check_default(node, path / "default", causes)


def _check_child(child: _Node, path: Path, causes: list[Cause], what: str) -> None:
    if not child.get("type") and not child.get(_INT_OR_STRING) and not child.get(_PRESERVE):
        causes.append(required(path / "type", f"must not be empty for specified {what}"))
    _check(child, path, causes)


def _check_node(node: _Node, path: Path, causes: list[Cause]) -> None:
    """Check what a node says of itself."""
    kind = node.get("type", "")
    if kind == "null":
        causes.append(forbidden(path / "type", "type cannot be set to null, use nullable as an alternative"))
    elif kind and kind not in _TYPES:
        causes.append(not_supported(path / "type", kind, _TYPES))
    causes.extend(forbidden(path / name, f"{name} is not supported") for name in _UNSUPPORTED if name in node)
    if node.get("uniqueItems"):
        said = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        causes.append(forbidden(path / "uniqueItems", said))
    if kind == "array" and node.get("items") is None:
        causes.append(required(path / "items", "must be specified"))
    if node.get(_PRESERVE) is False:
        causes.append(invalid(path / _PRESERVE, False, "must be true or undefined"))
    if node.get(_INT_OR_STRING) and kind:
        causes.append(forbidden(path / "type", f"must be empty if {_INT_OR_STRING} is true"))
    if node.get(_EMBEDDED):
        if kind != "object":
            causes.append(invalid(path / "type", kind, f"must be object if {_EMBEDDED} is true"))
        if not node.get("properties") and not node.get(_PRESERVE):
            said = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
            causes.append(required(path / "properties", said))
    if node.get("pattern"):
        try:
            compiled(node["pattern"])
        except re.error as error:
            said = f"must be a valid regular expression, but isn't: {error}"
            causes.append(invalid(path / "pattern", node["pattern"], said))


def _check_metadata(node: _Node, path: Path, causes: list[Cause], *, is_root: bool) -> None:
    if not is_root and not node.get(_EMBEDDED):
        return
    properties = node.get("properties", {})
    for name, wanted in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
        given = properties.get(name, {}).get("type", wanted)
        if given != wanted:
            causes.append(invalid((path / "properties").key(name) / "type", given, f"must be {wanted}"))
    metadata = properties.get("metadata", {})
    extra = set(metadata) - {"type", "description", "properties", _PRESERVE}
    if extra or set(metadata.get("properties", {})) - {"name", "generateName"}:
        said = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        causes.append(forbidden((path / "properties").key("metadata"), said))


def _check_lists(node: _Node, path: Path, causes: list[Cause]) -> None:
    kind, keys = node.get("x-kubernetes-list-type"), node.get("x-kubernetes-list-map-keys", ())
    if kind is not None:
        if node.get("type") != "array":
            causes.append(
                invalid(path / "type", node.get("type", ""), "must be array if x-kubernetes-list-type is specified")
            )
        if kind not in {"atomic", "map", "set"}:
            causes.append(not_supported(path / "x-kubernetes-list-type", kind, ("atomic", "map", "set")))
    if node.get("x-kubernetes-map-type") not in {None, "atomic", "granular"}:
        given = node["x-kubernetes-map-type"]
        causes.append(not_supported(path / "x-kubernetes-map-type", given, ("atomic", "granular")))
    if kind != "map":
        if keys:
            where = path / "x-kubernetes-list-type"
            causes.append(
                required(where, "must be map if x-kubernetes-list-map-keys is non-empty")
                if kind is None
                else invalid(where, kind, "must be map if x-kubernetes-list-map-keys is non-empty")
            )
        return
    if not keys:
        causes.append(
            required(path / "x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
        )
    items = node.get("items")
    if not isinstance(items, dict):
        return
    if items.get("type") != "object":
        said = "must be object if parent array's x-kubernetes-list-type is map"
        causes.append(invalid(path / "items" / "type", items.get("type", ""), said))
    for i, key in enumerate(keys):
        held = items.get("properties", {}).get(key)
        if held is None:
            said = "entries must all be names of item properties"
            causes.append(invalid((path / "x-kubernetes-list-map-keys")[i], key, said))
        elif key not in items.get("required", ()) and "default" not in held:
            where = (path / "items" / "properties").key(key) / "default"
            said = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            causes.append(required(where, said))


def _is_int_or_string_form(node: _Node, name: str, each: _Node) -> bool:
    """Whether this is how older generators say integer or string: the one place where alternatives have types."""
    if not node.get(_INT_OR_STRING):
        return False
    if name == "anyOf":
        return set(each) == {"type"} and each["type"] in {"integer", "string"}
    return name == "allOf" and set(each) == {"anyOf"}


def _check_alternative(node: _Node, beside: _Node, path: Path, causes: list[Cause]) -> None:
    """Check what only judges values; the fields that it names must be known beside it."""
    causes.extend(
        forbidden(path / name, "must be empty to be structural") for name in _NOT_IN_ALTERNATIVES if node.get(name)
    )
    for name, child in node.get("properties", {}).items():
        known = beside.get("properties", {}).get(name)
        where = (path / "properties").key(name)
        if known is None and isinstance(beside.get("additionalProperties"), dict):
            known = beside["additionalProperties"]
        if known is None and not beside.get(_PRESERVE):
            causes.append(required(where, f"because it is defined in {path}"))
        _check_alternative(child, known or {_PRESERVE: True}, where, causes)
    if isinstance(node.get("items"), dict):
        items = beside.get("items")
        _check_alternative(
            node["items"], items if isinstance(items, dict) else {_PRESERVE: True}, path / "items", causes
        )
    for name in ("allOf", "anyOf", "oneOf"):
        for i, each in enumerate(node.get(name, ())):
            _check_alternative(each, beside, (path / name)[i], causes)
    if isinstance(node.get("not"), dict):
        _check_alternative(node["not"], beside, path / "not", causes)


def _check_default(node: _Node, path: Path, causes: list[Cause]) -> None:
    value = copy.deepcopy(node["default"])
    if isinstance(value, dict) and node.get("type") == "object":
        schema = schema_of(node)
        schema.embedded = bool(node.get(_EMBEDDED))
        if prune(value, schema).unknown:
            causes.append(invalid(path, node["default"], "must not have unknown fields"))
            return
    wrong: list[Cause] = []
    validator(node)(node["default"], str(path), wrong)
    causes.extend(wrong)
