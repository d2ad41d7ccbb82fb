"""CustomResourceDefinitions for tests: one with a bit of everything, to be bent as a test needs it."""

from __future__ import annotations

from typing import Any

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}},
            },
        },
    },
}
STATUS: dict[str, Any] = {
    "type": "object",
    "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}},
}


def schema(spec: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with a spec, a status and a short description."""
    described = "A widget is what tests are made of."
    return {"type": "object", "description": described, "properties": {"spec": spec or SPEC, "status": STATUS}}


def version(name: str = "v1", *, storage: bool = True, **more: Any) -> dict[str, Any]:
    made = {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema()}}
    return made | more


def definition(
    plural: str = "widgets", kind: str = "Widget", *, group: str = "example.com", scope: str = "Namespaced", **spec: Any
) -> dict[str, Any]:
    """Return a definition with one version and no subresources; `names` are added to those that it has."""
    names = {"plural": plural, "kind": kind} | spec.pop("names", {})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": [version()]} | spec,
    }


def widget(name: str = "a", *, api_version: str = "example.com/v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 3} | spec}
