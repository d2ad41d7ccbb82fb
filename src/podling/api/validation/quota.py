"""ResourceQuotas: what they may bound, by which amounts, and of which objects.

Must not know how usage is counted. Resources go by name, where upstream's order is chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.codec import to_tree
from podling.api.validation import amounts, meta
from podling.api.validation.field import METADATA, SPEC, STATUS, Path, invalid, required

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import ResourceQuota, ResourceQuotaSpec

_COMPUTE: Final = {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
_OF_PODS: Final = {"pods", *_COMPUTE}
_BOUNDS: Final[Mapping[str, Collection[str]]] = {
    "Terminating": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "BestEffort": {"pods"},
    "NotBestEffort": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "CrossNamespacePodAffinity": _OF_PODS,
    "VolumeAttributesClass": {"persistentvolumeclaims", "requests.storage"},
}
"""Each scope with the standard resources that can be bounded in it."""
_HAVING_VALUES: Final = {"PriorityClass", "VolumeAttributesClass"}
_OPPOSITES: Final = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_ONLY_EXISTS: Final = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def check_create(quota: ResourceQuota, causes: list[Cause]) -> None:
    meta.check_create(quota.metadata, causes, namespaced=True)
    _check_spec(quota.spec, causes)
    _check_status(quota, causes)


def check_update(new: ResourceQuota, old: ResourceQuota, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new.spec, causes)
    if set(new.spec.scopes) != set(old.spec.scopes):
        causes.append(invalid(SPEC / "scopes", new.spec.scopes, "field is immutable"))


def check_status_update(new: ResourceQuota, old: ResourceQuota, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if old.metadata.resource_version and not new.metadata.resource_version:
        causes.append(required(METADATA / "resourceVersion"))
    _check_status(new, causes)


def _check_status(quota: ResourceQuota, causes: list[Cause]) -> None:
    _check_amounts(quota.status.hard, STATUS / "hard", causes)
    _check_amounts(quota.status.used, STATUS / "used", causes)


def _check_spec(spec: ResourceQuotaSpec, causes: list[Cause]) -> None:
    _check_amounts(spec.hard, SPEC / "hard", causes)
    bounded = [name for name in sorted(spec.hard) if "/" not in name]
    for scope in spec.scopes:
        _check_scope(scope, bounded, SPEC / "scopes", SPEC / "scopes", spec.scopes, spec.scopes, causes)
    _check_opposites(spec.scopes, spec, SPEC / "scopes", causes)
    if spec.scope_selector is None:
        return
    path, shown = SPEC / "scopeSelector" / "matchExpressions", to_tree(spec.scope_selector)
    for term in spec.scope_selector.match_expressions:
        _check_scope(term.scope_name, bounded, path / "scopeName", path, term.scope_name, shown, causes)
        if term.scope_name in _BOUNDS and term.scope_name not in _HAVING_VALUES and term.operator != "Exists":
            causes.append(invalid(path / "operator", term.operator, _ONLY_EXISTS))
        match term.operator:
            case "In" | "NotIn":
                if not term.values:
                    said = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                    causes.append(required(path / "values", said))
            case "Exists" | "DoesNotExist":
                if term.values:
                    said = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                    causes.append(invalid(path / "values", term.values, said))
            case other:
                causes.append(invalid(path / "operator", other, "not a valid selector operator"))
    _check_opposites([term.scope_name for term in spec.scope_selector.match_expressions], spec, path, causes)


def _check_scope(
    scope: str,
    bounded: list[str],
    path: Path,
    whole: Path,
    shown: object,
    all_shown: object,
    causes: list[Cause],
) -> None:
    if scope not in _BOUNDS:
        causes.append(invalid(path, shown, "unsupported scope"))
        return
    causes.extend(
        invalid(whole, all_shown, "unsupported scope applied to resource")
        for name in bounded
        if amounts.is_counted_by_quotas(name) and name not in _BOUNDS[scope]
    )


def _check_opposites(scopes: Collection[str], spec: ResourceQuotaSpec, path: Path, causes: list[Cause]) -> None:
    causes.extend(invalid(path, spec.scopes, "conflicting scopes") for pair in _OPPOSITES if set(pair) <= set(scopes))


def _check_amounts(found: Mapping[str, str], path: Path, causes: list[Cause]) -> None:
    for name in sorted(found):
        where = path.key(name)
        amounts.known_name(name, where, causes)
        if "/" not in name and not amounts.is_counted_by_quotas(name):
            causes.append(invalid(where, name, "must be a standard resource for quota"))
        value = amounts.amount(found[name], where, causes)
        if value is not None:
            amounts.check_amount(name, value, where, causes)
