"""Roles and their bindings. Names need only fit into a path; what a binding refers to never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import formats, meta
from podling.api.validation.field import ROOT, Path, invalid, invalid_each, not_supported, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject

_GROUP = "rbac.authorization.k8s.io"


def check_role_create(role: Role, causes: list[Cause]) -> None:
    meta.check_create(role.metadata, causes, namespaced=True, name=formats.path_segment)
    for i, rule in enumerate(role.rules):
        _check_rule(rule, (ROOT / "rules")[i], causes, namespaced=True)


def check_role_update(new: Role, old: Role, causes: list[Cause]) -> None:
    check_role_create(new, causes)
    meta.check_update(new.metadata, old.metadata, causes)


def check_cluster_role_create(role: ClusterRole, causes: list[Cause]) -> None:
    meta.check_create(role.metadata, causes, namespaced=False, name=formats.path_segment)
    for i, rule in enumerate(role.rules):
        _check_rule(rule, (ROOT / "rules")[i], causes, namespaced=False)
    if role.aggregation_rule is not None:
        path = ROOT / "aggregationRule" / "clusterRoleSelectors"
        if not role.aggregation_rule.cluster_role_selectors:
            causes.append(required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        for i, selector in enumerate(role.aggregation_rule.cluster_role_selectors):
            meta.check_selector(selector, path[i], causes)


def check_cluster_role_update(new: ClusterRole, old: ClusterRole, causes: list[Cause]) -> None:
    check_cluster_role_create(new, causes)
    meta.check_update(new.metadata, old.metadata, causes)


def _check_rule(rule: PolicyRule, path: Path, causes: list[Cause], *, namespaced: bool) -> None:
    if not rule.verbs:
        causes.append(required(path / "verbs", "verbs must contain at least one value"))
    if rule.non_resource_urls:
        where = path / "nonResourceURLs"
        if namespaced:
            said = "namespaced rules cannot apply to non-resource URLs"
            causes.append(invalid(where, rule.non_resource_urls, said))
        if rule.api_groups or rule.resources or rule.resource_names:
            said = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(invalid(where, rule.non_resource_urls, said))
        return
    if not rule.api_groups:
        causes.append(required(path / "apiGroups", "resource rules must supply at least one api group"))
    if not rule.resources:
        causes.append(required(path / "resources", "resource rules must supply at least one resource"))


def check_role_binding_create(binding: RoleBinding, causes: list[Cause]) -> None:
    _check_binding(binding, ("Role", "ClusterRole"), causes, namespaced=True)


def check_role_binding_update(new: RoleBinding, old: RoleBinding, causes: list[Cause]) -> None:
    check_role_binding_create(new, causes)
    _check_binding_update(new, old, causes)


def check_cluster_role_binding_create(binding: ClusterRoleBinding, causes: list[Cause]) -> None:
    _check_binding(binding, ("ClusterRole",), causes, namespaced=False)


def check_cluster_role_binding_update(new: ClusterRoleBinding, old: ClusterRoleBinding, causes: list[Cause]) -> None:
    check_cluster_role_binding_create(new, causes)
    _check_binding_update(new, old, causes)


def _check_binding_update(
    new: RoleBinding | ClusterRoleBinding, old: RoleBinding | ClusterRoleBinding, causes: list[Cause]
) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if new.role_ref != old.role_ref:
        ref = new.role_ref
        shown = {"APIGroup": ref.api_group, "Kind": ref.kind, "Name": ref.name}
        causes.append(invalid(ROOT / "roleRef", shown, "cannot change roleRef"))


def _check_binding(
    binding: RoleBinding | ClusterRoleBinding, kinds: tuple[str, ...], causes: list[Cause], *, namespaced: bool
) -> None:
    meta.check_create(binding.metadata, causes, namespaced=namespaced, name=formats.path_segment)
    ref, path = binding.role_ref, ROOT / "roleRef"
    if ref.api_group != _GROUP:
        causes.append(not_supported(path / "apiGroup", ref.api_group, (_GROUP,)))
    if ref.kind not in kinds:
        causes.append(not_supported(path / "kind", ref.kind, kinds))
    if not ref.name:
        causes.append(required(path / "name"))
    else:
        invalid_each(path / "name", ref.name, formats.path_segment(ref.name), causes)
    for i, subject in enumerate(binding.subjects):
        _check_subject(subject, (ROOT / "subjects")[i], causes, namespaced=namespaced)


def _check_subject(subject: Subject, path: Path, causes: list[Cause], *, namespaced: bool) -> None:
    if not subject.name:
        causes.append(required(path / "name"))
    match subject.kind:
        case "ServiceAccount":
            if subject.name:
                invalid_each(path / "name", subject.name, formats.dns_subdomain(subject.name), causes)
            if subject.api_group:
                causes.append(not_supported(path / "apiGroup", subject.api_group, ("",)))
            if not namespaced and not subject.namespace:
                causes.append(required(path / "namespace"))
        case "User" | "Group":
            if not subject.name:
                causes.append(invalid(path / "name", "", f"{subject.kind.lower()} name cannot be empty"))
            if subject.api_group != _GROUP:
                causes.append(not_supported(path / "apiGroup", subject.api_group, (_GROUP,)))
        case other:
            causes.append(not_supported(path / "kind", other, ("ServiceAccount", "User", "Group")))
