"""Scopes: which of a namespace's objects a quota is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.types.core_v1 import ScopedResourceSelectorRequirement

if TYPE_CHECKING:
    from collections.abc import Collection

    from podling.api.types.core_v1 import ResourceQuotaSpec
    from podling.quota.evaluator import Evaluator


def scopes_of(spec: ResourceQuotaSpec) -> list[ScopedResourceSelectorRequirement]:
    """Return a quota's scopes in one form; all must hold."""
    plain = [ScopedResourceSelectorRequirement(operator="Exists", scope_name=name) for name in spec.scopes]
    return [*plain, *(spec.scope_selector.match_expressions if spec.scope_selector is not None else ())]


def in_scope(evaluator: Evaluator, spec: ResourceQuotaSpec, obj: Any) -> bool:
    """Whether an object is one of those that a quota is about."""
    return all(evaluator.in_scope(scope, obj) for scope in scopes_of(spec))


def selects(scope: ScopedResourceSelectorRequirement, names: Collection[str]) -> bool:
    """Whether a scope's operator and values hold for one of the names that an object has, or for its having none."""
    match scope.operator:
        case "Exists":
            return bool(names)
        case "DoesNotExist":
            return not names
        case "In":
            return any(name in scope.values for name in names)
        case "NotIn":
            return not names or any(name not in scope.values for name in names)
        case _:
            return False
