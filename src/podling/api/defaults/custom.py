"""What a CustomResourceDefinition means where its author was silent: its other names, and no conversion."""

from __future__ import annotations

from typing import Any

_Tree = dict[str, Any]


def apply_definition(tree: _Tree) -> None:
    spec = tree.get("spec")
    if spec is None:
        return
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if kind:
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    conversion = spec.setdefault("conversion", {})
    conversion.setdefault("strategy", "None")
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
