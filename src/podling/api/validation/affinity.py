"""Where a Pod wants to be: node and Pod affinity, topology spread.

Must not know nodes. What is only preferred may name label values that no node can have, as upstream allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import formats
from podling.api.validation.field import (
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from podling.api.validation.meta import check_label_name, check_selector

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        Affinity,
        NodeAffinity,
        NodeSelector,
        NodeSelectorRequirement,
        NodeSelectorTerm,
        PodAffinity,
        PodAffinityTerm,
        PodAntiAffinity,
        TopologySpreadConstraint,
    )
    from podling.api.types.meta_v1 import LabelSelector

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NO_SELECTOR = "must not be specified when labelSelector is not set"


def check_affinity(affinity: Affinity, path: Path, causes: list[Cause]) -> None:
    if affinity.node_affinity is not None:
        _check_node_affinity(affinity.node_affinity, path / "nodeAffinity", causes)
    if affinity.pod_affinity is not None:
        _check_pod_affinity(affinity.pod_affinity, path / "podAffinity", causes)
    if affinity.pod_anti_affinity is not None:
        _check_pod_affinity(affinity.pod_anti_affinity, path / "podAntiAffinity", causes)


def _check_node_affinity(affinity: NodeAffinity, path: Path, causes: list[Cause]) -> None:
    if affinity.required_during_scheduling_ignored_during_execution is not None:
        check_node_selector(affinity.required_during_scheduling_ignored_during_execution, path / _REQUIRED, causes)
    for i, term in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        where = (path / _PREFERRED)[i]
        _check_weight(term.weight, where / "weight", causes)
        _check_term(term.preference, where / "preference", causes, any_value=True)


def check_node_selector(selector: NodeSelector, path: Path, causes: list[Cause]) -> None:
    where = path / "nodeSelectorTerms"
    if not selector.node_selector_terms:
        causes.append(required(where, "must have at least one node selector term"))
    for i, term in enumerate(selector.node_selector_terms):
        _check_term(term, where[i], causes)


def _check_term(term: NodeSelectorTerm, path: Path, causes: list[Cause], *, any_value: bool = False) -> None:
    for i, requirement in enumerate(term.match_expressions):
        _check_requirement(requirement, (path / "matchExpressions")[i], causes, any_value=any_value)
    for i, requirement in enumerate(term.match_fields):
        _check_field_requirement(requirement, (path / "matchFields")[i], causes)


def _check_requirement(
    requirement: NodeSelectorRequirement, path: Path, causes: list[Cause], *, any_value: bool
) -> None:
    values = path / "values"
    match requirement.operator:
        case "In" | "NotIn":
            if not requirement.values:
                causes.append(required(values, "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if requirement.values:
                causes.append(forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
        case "Gt" | "Lt":
            if len(requirement.values) != 1:
                causes.append(required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'"))
        case other:
            causes.append(invalid(path / "operator", other, "not a valid selector operator"))
    check_label_name(requirement.key, path / "key", causes)
    if not any_value:
        for i, value in enumerate(requirement.values):
            invalid_each(values[i], value, formats.label_value(value), causes)


def _check_field_requirement(requirement: NodeSelectorRequirement, path: Path, causes: list[Cause]) -> None:
    if requirement.operator in {"In", "NotIn"}:
        if len(requirement.values) != 1:
            causes.append(
                required(
                    path / "values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
                )
            )
    else:
        causes.append(invalid(path / "operator", requirement.operator, "not a valid selector operator"))
    if requirement.key != "metadata.name":
        causes.append(invalid(path / "key", requirement.key, "not a valid field selector key"))
        return
    for i, value in enumerate(requirement.values):
        invalid_each((path / "values")[i], value, formats.dns_subdomain(value), causes)


def _check_pod_affinity(affinity: PodAffinity | PodAntiAffinity, path: Path, causes: list[Cause]) -> None:
    for i, term in enumerate(affinity.required_during_scheduling_ignored_during_execution):
        _check_pod_term(term, (path / _REQUIRED)[i], causes)
    for i, weighted in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        where = (path / _PREFERRED)[i]
        _check_weight(weighted.weight, where / "weight", causes)
        _check_pod_term(weighted.pod_affinity_term, where / "podAffinityTerm", causes)


def _check_weight(weight: int, path: Path, causes: list[Cause]) -> None:
    if not 1 <= weight <= 100:
        causes.append(invalid(path, weight, "must be in the range 1-100"))


def _check_pod_term(term: PodAffinityTerm, path: Path, causes: list[Cause]) -> None:
    check_selector(term.label_selector, path / "labelSelector", causes)
    check_selector(term.namespace_selector, path / "namespaceSelector", causes)
    for namespace in term.namespaces:
        invalid_each(path / "namespace", namespace, formats.dns_label(namespace), causes)
    _check_label_keys(term, path, causes)
    if not term.topology_key:
        causes.append(required(path / "topologyKey", "can not be empty"))
    check_label_name(term.topology_key, path / "topologyKey", causes)


def _check_label_keys(term: PodAffinityTerm, path: Path, causes: list[Cause]) -> None:
    """Check keys whose values are the Pod's own; the server has already made expressions of them."""
    for name, keys in (("matchLabelKeys", term.match_label_keys), ("mismatchLabelKeys", term.mismatch_label_keys)):
        if keys and term.label_selector is None:
            causes.append(forbidden(path / name, _NO_SELECTOR))
            continue
        for i, key in enumerate(keys):
            check_label_name(key, (path / name)[i], causes)
    if term.match_label_keys and term.label_selector is not None:
        positions = {key: i for i, key in enumerate(term.match_label_keys)}
        selected = set(term.label_selector.match_labels)
        for expression in term.label_selector.match_expressions:
            if expression.key in positions and expression.key in selected:
                where = path[positions[expression.key]]
                causes.append(invalid(where, expression.key, "exists in both matchLabelKeys and labelSelector"))
            selected.add(expression.key)
    for i, key in enumerate(term.match_label_keys):
        if key in term.mismatch_label_keys:
            where = (path / "matchLabelKeys")[i]
            causes.append(invalid(where, key, "exists in both matchLabelKeys and mismatchLabelKeys"))


def check_spread(constraints: tuple[TopologySpreadConstraint, ...], path: Path, causes: list[Cause]) -> None:
    """Check topology spread constraints; no two may have the same key and the same action."""
    for i, constraint in enumerate(constraints):
        where, action = path[i], constraint.when_unsatisfiable
        if constraint.max_skew <= 0:
            causes.append(invalid(where / "maxSkew", constraint.max_skew, formats.NOT_POSITIVE))
        if not constraint.topology_key:
            causes.append(required(where / "topologyKey", "can not be empty"))
        if action not in {"DoNotSchedule", "ScheduleAnyway"}:
            causes.append(not_supported(where / "whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway")))
        pair = (constraint.topology_key, action)
        if any((later.topology_key, later.when_unsatisfiable) == pair for later in constraints[i + 1 :]):
            shown = f"{{{constraint.topology_key}, {action}}}"
            causes.append(duplicate(where / "{topologyKey, whenUnsatisfiable}", shown))
        if constraint.min_domains is not None:
            if constraint.min_domains <= 0:
                causes.append(invalid(where / "minDomains", constraint.min_domains, formats.NOT_POSITIVE))
            if action != "DoNotSchedule":
                causes.append(
                    invalid(
                        where / "minDomains",
                        constraint.min_domains,
                        f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}",
                    )
                )
        for name, policy in (
            ("nodeAffinityPolicy", constraint.node_affinity_policy),
            ("nodeTaintsPolicy", constraint.node_taints_policy),
        ):
            if policy is not None and policy not in {"Honor", "Ignore"}:
                causes.append(not_supported(where / name, policy, ("Honor", "Ignore")))
        _check_spread_keys(constraint.match_label_keys, constraint.label_selector, where / "matchLabelKeys", causes)
        check_selector(constraint.label_selector, where / "labelSelector", causes)


def _check_spread_keys(keys: tuple[str, ...], selector: LabelSelector | None, path: Path, causes: list[Cause]) -> None:
    """Check keys whose values are the Pod's own; the server has already made an expression of each."""
    if not keys:
        return
    selected: list[str] = []
    if selector is None:
        causes.append(forbidden(path, _NO_SELECTOR))
    else:
        selected = [*selector.match_labels, *(expression.key for expression in selector.match_expressions)]
    for i, key in enumerate(keys):
        check_label_name(key, path[i], causes)
        if selected.count(key) > 1:
            causes.append(invalid(path[i], key, "exists in both matchLabelKeys and labelSelector"))
