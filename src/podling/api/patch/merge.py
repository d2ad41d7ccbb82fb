"""Owns merge patches (RFC 7386): objects merge, null removes, all else replaces."""

from __future__ import annotations

from typing import Any

from podling.api.errors import bad_request


def copied(tree: Any) -> Any:
    """Return a copy of a plain tree that shares nothing with it."""
    kind = type(tree)
    if kind is dict:
        return {k: copied(v) if type(v) is dict or type(v) is list else v for k, v in tree.items()}
    if kind is list:
        return [copied(v) if type(v) is dict or type(v) is list else v for v in tree]
    return tree


def merge_patch(tree: dict[str, Any], patch: Any) -> dict[str, Any]:
    """Return the tree with the patch merged in; a patch that is no object is a bad request."""
    if type(patch) is not dict:
        raise bad_request("Invalid JSON Patch")
    merged = copied(tree)
    _merge(merged, patch)
    return merged  # type: ignore[no-any-return]


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif type(value) is dict:
            inner = target.get(key)
            if type(inner) is not dict:
                inner = target[key] = {}
            _merge(inner, value)
        else:
            target[key] = copied(value)
