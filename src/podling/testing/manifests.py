"""What `SimulatedCluster.apply` takes: YAML text, a file, a tree, or several of them.

Owns the way from there to trees, one per object. Knows no cluster. `ValueError` says what is no manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from podling.api.resources import STORED, Resource

Manifests = str | Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]

_BY_KIND = {(resource.api_version, resource.kind): resource for resource in STORED}


def trees(manifests: Manifests) -> list[dict[str, Any]]:
    """Return every object that `manifests` holds, in order; a `List` gives its items."""
    if isinstance(manifests, Path):
        manifests = manifests.read_text(encoding="utf-8")
    if isinstance(manifests, str):
        import yaml

        found = [document for document in yaml.safe_load_all(manifests) if document is not None]
    elif isinstance(manifests, Mapping):
        found = [manifests]
    else:
        found = list(manifests)
    made: list[dict[str, Any]] = []
    for tree in found:
        if not isinstance(tree, Mapping) or not isinstance(tree.get("kind"), str):
            raise ValueError(f"not a manifest, for it has no kind: {tree!r:.80}")  # noqa: TRY004  # of the value, not the caller's types
        if tree["kind"].endswith("List") and "items" in tree:
            made += trees(tree["items"])
        else:
            made.append(dict(tree))
    return made


def resource_of(tree: Mapping[str, Any], served: Iterable[Resource[Any]] = ()) -> Resource[Any]:
    """Return the resource that an object is of, a built-in one or one of those that are `served` beside them."""
    wanted = (tree.get("apiVersion", ""), tree["kind"])
    found = _BY_KIND.get(wanted)
    if found is None:
        found = next((it for it in served if (it.api_version, it.kind) == wanted), None)
    if found is None:
        raise ValueError(f"no resource serves {tree.get('apiVersion', '')} {tree['kind']}")
    return found
