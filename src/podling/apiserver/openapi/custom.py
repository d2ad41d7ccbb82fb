"""What of a custom kind's definition OpenAPI 2 can say, and the protobuf forms: no alternatives, no null, no defaults.

Where a schema says more than that a field has one type, what is said of it goes, as upstream does, so that old clients
do not refuse what the server takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT: Final = frozenset({"$ref", "description", "format", "required", "type"})
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"


def plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition that has nothing but what version 2 knows."""
    made = {key: value for key, value in tree.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    made.pop("x-kubernetes-validations", None)
    if tree.get("nullable") or tree.get(_INT_OR_STRING):
        made.pop("type", None)
        made.pop("format", None)
        return made
    if tree.get(_PRESERVE) and "x-kubernetes-group-version-kind" not in tree:
        return made
    if tree.get("properties"):
        made["properties"] = {name: plain(child) for name, child in tree["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(tree.get(name), dict):
            made[name] = plain(tree[name])
    return made
