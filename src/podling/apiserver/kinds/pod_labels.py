"""How a Pod's own labels get into its affinity and spread constraints, when it is created.

`matchLabelKeys` and `mismatchLabelKeys` name labels; what they are on this Pod becomes a requirement of the selector
beside them, so that the scheduler knows selectors alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def copy_label_keys(tree: dict[str, Any]) -> None:
    """Write the values of the named labels into the selectors."""
    labels = tree["metadata"].get("labels") or {}
    spec = tree["spec"]
    for term in (*_terms(spec.get("affinity") or {}), *(spec.get("topologySpreadConstraints") or ())):
        selector = term.get("labelSelector")
        if selector is None:
            continue
        for name, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            found = [
                {"key": key, "operator": operator, "values": [labels[key]]}
                for key in term.get(name) or ()
                if key in labels
            ]
            if found:
                selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *found]


def _terms(affinity: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("podAffinity", "podAntiAffinity"):
        group = affinity.get(kind) or {}
        for weighted in group.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            if weighted.get("podAffinityTerm"):
                yield weighted["podAffinityTerm"]
        yield from group.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
