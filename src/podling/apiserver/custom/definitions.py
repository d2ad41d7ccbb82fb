"""The OpenAPI definitions of a custom kind and its list, as version 3 has them.

Owns what is added to the schema that its author wrote: the fields that every object has, and whose kind it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.resources import Resource

_META: Final = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1."
_API_VERSION: Final = {
    "type": "string",
    "description": "APIVersion defines the versioned schema of this representation of an object. Servers should "
    "convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
}
_KIND: Final = {
    "type": "string",
    "description": "Kind is a string value representing the REST resource this object represents. Servers may infer "
    "this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
}
_METADATA: Final = {
    "$ref": f"{_META}ObjectMeta",
    "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/"
    "sig-architecture/api-conventions.md#metadata",
}


def definitions_of(resource: Resource[Any], node: Mapping[str, Any], list_kind: str) -> dict[str, Any]:
    """Return the definitions of a kind and of its list, by their names."""
    made = _published({**node, "type": "object"}, is_object=True)
    made["x-kubernetes-group-version-kind"] = [_gvk(resource, resource.kind)]
    item = {"$ref": f"#/definitions/{resource.schema_name}"}
    listed = {
        "description": f"{list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _API_VERSION,
            "items": {
                "description": f"List of {resource.plural}. More info: "
                "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
                "type": "array",
                "items": item,
            },
            "kind": _KIND,
            "metadata": {"description": "Standard list metadata.", "$ref": f"{_META}ListMeta"},
        },
        "x-kubernetes-group-version-kind": [_gvk(resource, list_kind)],
    }
    return {resource.schema_name: made, f"{resource.schema_name}List": listed}


def _published(node: Mapping[str, Any], *, is_object: bool = False) -> dict[str, Any]:
    """Return a node as it is published: objects, also such within others, have what every object has."""
    made = {key: value for key, value in node.items() if key != "x-kubernetes-validations"}
    if node.get("properties"):
        made["properties"] = {name: _published(child) for name, child in node["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            made[name] = _published(node[name])
    if is_object or node.get("x-kubernetes-embedded-resource"):
        common = {"apiVersion": _API_VERSION, "kind": _KIND, "metadata": _METADATA}
        made["properties"] = {**made.get("properties", {}), **common}
    return made


def _gvk(resource: Resource[Any], kind: str) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": kind}
