"""Node selectors: `nodeSelector`, `nodeAffinity` terms and their six operators.

Owns their meaning alone. An unknown operator or a number that is none matches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import NodeSelectorRequirement, NodeSelectorTerm
    from podling.placement.nodes import NodeInfo


def matches_terms(terms: Sequence[NodeSelectorTerm], node: NodeInfo) -> bool:
    """Whether any term matches; no terms match nothing."""
    return any(matches_term(term, node) for term in terms)


def matches_term(term: NodeSelectorTerm, node: NodeInfo) -> bool:
    """Whether all requirements of a term hold; a term without any matches nothing."""
    if not term.match_expressions and not term.match_fields:
        return False
    return all(matches(r, node.labels) for r in term.match_expressions) and all(
        matches(r, {"metadata.name": node.name}) for r in term.match_fields
    )


def matches(requirement: NodeSelectorRequirement, values: Mapping[str, str]) -> bool:
    """Whether one requirement holds for a set of labels or fields."""
    value = values.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(requirement, value)
    return False


def named_nodes(terms: Sequence[NodeSelectorTerm]) -> tuple[str, ...] | None:
    """Return the only Nodes that terms can match by `metadata.name`, sorted; `None` if some term leaves names open."""
    names: set[str] = set()
    for term in terms:
        named: set[str] | None = None
        for requirement in term.match_fields:
            if requirement.key == "metadata.name" and requirement.operator == "In":
                wanted = set(requirement.values)
                named = wanted if named is None else named & wanted
        if named is None:
            return None
        names |= named
    return tuple(sorted(names))


def _compares(requirement: NodeSelectorRequirement, value: str | None) -> bool:
    if value is None or len(requirement.values) != 1:
        return False
    have, want = whole_number(value), whole_number(requirement.values[0])
    if have is None or want is None:
        return False
    return have > want if requirement.operator == "Gt" else have < want


def whole_number(text: str) -> int | None:
    """Read a 64-bit integer as upstream does: digits with an optional sign, nothing around them."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None
