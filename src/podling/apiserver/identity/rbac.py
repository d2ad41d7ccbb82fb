"""Owns the RBAC index and the answers read from it: may this user do that, which rules has she, may she grant these.

The index is told of every Role, ClusterRole and binding by whoever watches them (`observe`, `replace`); it decodes each
once and keeps what it needs. Decisions are kept per user and namespace until the next change of the index.

Invariants: a decision never outlives the rules it was read from; members of `system:masters` may everything, whatever
the rules say; ClusterRoles with an aggregationRule grant what the roles they select grant now, stored rules or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from podling.api import resources
from podling.api.errors import StatusError, forbidden, not_found
from podling.apiserver.identity.rules import FULL_AUTHORITY, Rule, compact, missing, quoted
from podling.apiserver.record import Attributes, Decision, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.selectors import Selector
    from podling.api.types.meta_v1 import LabelSelector
    from podling.apiserver.record import Authorizer

GROUP: Final = "rbac.authorization.k8s.io"
PRIVILEGED: Final = "system:masters"

_ALLOWED: Final = Decision(True)
_CACHED_USERS: Final = 4096
_CACHED_PATHS: Final = 1024

_RoleKey = tuple[str, str]
"""Namespace ("" for a ClusterRole) and name."""


@dataclass(frozen=True, slots=True)
class _Role:
    rules: tuple[Rule, ...]
    labels: Mapping[str, str]
    gathers: tuple[Selector, ...] = ()


@dataclass(frozen=True, slots=True)
class _Binding:
    text: str
    """`ClusterRoleBinding "x" of ClusterRole "y"`, for the reason of an allowance."""
    role: _RoleKey
    subjects: Mapping[str, str]
    """Subject key → how the reason names the subject."""


class _Granted:
    """The rules of one user in one namespace, and the decisions read from them."""

    __slots__ = ("decisions", "errors", "rules")

    def __init__(self, rules: list[tuple[Rule, str]], errors: tuple[str, ...]) -> None:
        self.rules = rules
        self.errors = errors
        self.decisions: dict[tuple[str, ...], tuple[Decision | None, Mapping[str, Decision]]] = {}


class Rbac:
    """The authorizer over Roles, ClusterRoles and their bindings."""

    RESOURCES: Final[tuple[Resource[Any], ...]] = (
        resources.ROLES,
        resources.CLUSTER_ROLES,
        resources.ROLE_BINDINGS,
        resources.CLUSTER_ROLE_BINDINGS,
    )
    """What the index wants to be told of."""

    def __init__(self) -> None:
        self._roles: dict[_RoleKey, _Role] = {}
        self._bindings: dict[_RoleKey, _Binding] = {}
        self._by_subject: dict[tuple[str, str], dict[_RoleKey, _Binding]] = {}
        self._granted: dict[tuple[str, tuple[str, ...], str], _Granted] = {}

    def observe(self, resource: Resource[Any], namespace: str, name: str, found: Encoded | None) -> None:
        """Take one object's present form; `None` where it is gone. Other resources are ignored."""
        key = (namespace, name)
        if resource in (resources.ROLES, resources.CLUSTER_ROLES):
            if found is None:
                self._roles.pop(key, None)
            else:
                self._roles[key] = _read_role(resource, found)
        elif resource in (resources.ROLE_BINDINGS, resources.CLUSTER_ROLE_BINDINGS):
            self._unbind(key)
            if found is not None:
                self._bind(key, _read_binding(resource, found))
        else:
            return
        self._granted.clear()

    def replace(self, resource: Resource[Any], objects: Iterable[Encoded]) -> None:
        """Take a whole listing in place of what was known of `resource`."""
        clustered = not resource.namespaced
        is_role = resource in (resources.ROLES, resources.CLUSTER_ROLES)
        known = self._roles if is_role else self._bindings
        for namespace, name in [key for key in known if (not key[0]) == clustered]:
            self.observe(resource, namespace, name, None)
        for found in objects:
            self.observe(resource, found.namespace, found.name, found)

    def authorize(self, attributes: Attributes) -> Decision:
        """Decide; the reason of an allowance names the binding, that of a refusal the roles that are missing."""
        user = attributes.user
        if PRIVILEGED in user.groups:
            return _ALLOWED
        granted = self._granted_to(user, attributes.namespace)
        key = (
            (attributes.verb, attributes.group, attributes.resource, attributes.subresource)
            if attributes.is_resource
            else (attributes.verb, attributes.path)
        )
        answer = granted.decisions.get(key)
        if answer is None:
            if len(granted.decisions) >= _CACHED_PATHS:
                granted.decisions.clear()
            answer = granted.decisions[key] = _judge(granted, attributes)
        decision, by_name = answer
        if decision is not None:
            return decision
        return by_name.get(attributes.name) or Decision(False, "; ".join(granted.errors))

    def rules_of(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """Return every rule that a user has in a namespace, cluster-wide ones first, and what could not be resolved."""
        if PRIVILEGED in user.groups:
            return list(FULL_AUTHORITY), []
        granted = self._granted_to(user, namespace)
        return [rule for rule, _ in granted.rules], list(granted.errors)

    def role_rules(self, namespace: str, kind: str, name: str) -> tuple[Rule, ...]:
        """Return the rules of the role that a binding in `namespace` names; `StatusError` 404 where there is none."""
        clustered = kind == "ClusterRole"
        rules = self._rules_of_role(("" if clustered else namespace, name))
        if rules is None:
            raise not_found(GROUP, "clusterroles" if clustered else "roles", name)
        return rules

    def aggregated(self, name: str) -> tuple[Rule, ...] | None:
        """Return what an aggregating ClusterRole's rules should be; `None` where it is absent or gathers nothing."""
        role = self._roles.get(("", name))
        return self._rules_of_role(("", name)) if role is not None and role.gathers else None

    def outdated(self) -> list[str]:
        """Return the names of aggregating ClusterRoles whose rules are not what they gather, by name."""
        return [
            name
            for (namespace, name), role in sorted(self._roles.items())
            if not namespace and role.gathers and role.rules != self._rules_of_role(("", name))
        ]

    def _granted_to(self, user: User, namespace: str) -> _Granted:
        key = (user.name, user.groups, namespace)
        granted = self._granted.get(key)
        if granted is None:
            if len(self._granted) >= _CACHED_USERS:
                self._granted.clear()
            granted = self._granted[key] = self._resolve(user, namespace)
        return granted

    def _resolve(self, user: User, namespace: str) -> _Granted:
        rules: list[tuple[Rule, str]] = []
        errors: list[str] = []
        for scope in ("", namespace) if namespace else ("",):
            for subject in _subject_keys(user):
                for binding in self._by_subject.get((scope, subject), {}).values():
                    found = self._rules_of_role(binding.role)
                    if found is None:
                        kind = "role" if binding.role[0] else "clusterrole"
                        errors.append(f'RBAC: {kind}.{GROUP} "{binding.role[1]}" not found')
                        continue
                    reason = f"RBAC: allowed by {binding.text} to {binding.subjects[subject]}"
                    rules.extend((rule, reason) for rule in found)
        return _Granted(rules, tuple(dict.fromkeys(errors)))

    def _rules_of_role(self, key: _RoleKey) -> tuple[Rule, ...] | None:
        role = self._roles.get(key)
        if role is None or not role.gathers:
            return role.rules if role is not None else None
        gathered: dict[Rule, None] = {}
        seen = {key[1]}
        queue = [role]
        while queue:
            selectors = queue.pop(0).gathers
            for (namespace, name), other in sorted(self._roles.items()):
                if namespace or name in seen or not any(s.matches(other.labels) for s in selectors):
                    continue
                seen.add(name)
                if other.gathers:
                    queue.append(other)
                else:
                    gathered.update(dict.fromkeys(other.rules))
        return tuple(gathered)

    def _bind(self, key: _RoleKey, binding: _Binding) -> None:
        self._bindings[key] = binding
        for subject in binding.subjects:
            self._by_subject.setdefault((key[0], subject), {})[key] = binding

    def _unbind(self, key: _RoleKey) -> None:
        binding = self._bindings.pop(key, None)
        for subject in binding.subjects if binding is not None else ():
            held = self._by_subject[key[0], subject]
            del held[key]
            if not held:
                del self._by_subject[key[0], subject]


def refusal(attributes: Attributes, reason: str = "") -> StatusError:
    """Return upstream's 403 for a call that no authorizer allowed."""
    sentence = describe(attributes) + (f": {reason}" if reason else "")
    if not attributes.is_resource:
        return StatusError(403, "Forbidden", f"forbidden: {sentence}", details={})
    return forbidden(attributes.group, attributes.resource, attributes.name, sentence)


def describe(attributes: Attributes) -> str:
    """Return `User "x" cannot get resource "pods" in API group "" in the namespace "default"`."""
    who = f'User "{attributes.user.name}" cannot {attributes.verb}'
    if not attributes.is_resource:
        return f'{who} path "{attributes.path}"'
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    return f'{who} resource "{resource}" in API group "{attributes.group}" {where}'


def refuse_escalation(
    rbac: Rbac,
    authorizer: Authorizer,
    user: User,
    resource: Resource[Any],
    tree: Mapping[str, Any],
    old: Mapping[str, Any] | None = None,
) -> None:
    """Raise upstream's 403 where writing this role or binding would hand out rights that the writer lacks.

    To be called in admission of create and update of the four RBAC kinds, after defaulting and before validation's
    answer is stored; `old` is the stored object of an update. Who holds `escalate` on the role, or `bind` on the role
    that a binding names, may hand out what she does not have.
    """
    if PRIVILEGED in user.groups or resource not in Rbac.RESOURCES:
        return
    metadata = tree.get("metadata") or {}
    name, namespace = str(metadata.get("name", "")), str(metadata.get("namespace", ""))
    words = ("rules", "aggregationRule", "roleRef", "subjects")
    if old is not None and all((old.get(word) or None) == (tree.get(word) or None) for word in words):
        return
    if resource in (resources.ROLES, resources.CLUSTER_ROLES):
        asked = Attributes(user, "escalate", GROUP, "v1", resource.plural, "", namespace, name)
        if authorizer.authorize(asked).allowed:
            return
        if tree.get("aggregationRule") and missing(rbac.rules_of(user, "")[0], FULL_AUTHORITY):
            raise forbidden(
                GROUP, resource.plural, name, "must have cluster-admin privileges to use an aggregationRule"
            )
        wanted = tuple(Rule.of_tree(rule) for rule in tree.get("rules") or ())
    else:
        reference = tree.get("roleRef") or {}
        kind, role = str(reference.get("kind", "")), str(reference.get("name", ""))
        plural = "clusterroles" if kind == "ClusterRole" else "roles"
        if authorizer.authorize(Attributes(user, "bind", GROUP, "v1", plural, "", namespace, role)).allowed:
            return
        wanted = rbac.role_rules(namespace, kind, role)
    owned, errors = rbac.rules_of(user, namespace)
    lacking = missing(owned, wanted)
    if lacking:
        raise forbidden(GROUP, resource.plural, name, _escalation_text(user, lacking, errors))


def _escalation_text(user: User, lacking: list[Rule], errors: list[str]) -> str:
    lines = "\n".join(sorted({str(rule) for rule in compact(lacking)}))
    text = (
        f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions '
        f"not currently held:\n{lines}"
    )
    return text + (f"; resolution errors: [{', '.join(errors)}]" if errors else "")


def _judge(granted: _Granted, asked: Attributes) -> tuple[Decision | None, Mapping[str, Decision]]:
    """Return the decision for any name, or `None` and the names that are allowed."""
    by_name: dict[str, Decision] = {}
    for rule, reason in granted.rules:
        if asked.is_resource:
            if not rule.matches_resource(asked.verb, asked.group, asked.resource, asked.subresource):
                continue
            if rule.names:
                for name in rule.names:
                    by_name.setdefault(name, Decision(True, reason))
                continue
        elif not rule.matches_path(asked.verb, asked.path):
            continue
        return Decision(True, reason), {}
    return None, by_name


def _subject_keys(user: User) -> Iterator[str]:
    yield f"u:{user.name}"
    for group in user.groups:
        yield f"g:{group}"


def _read_role(resource: Resource[Any], found: Encoded) -> _Role:
    role = found.view(resource.type)
    aggregation = getattr(role, "aggregation_rule", None)
    return _Role(
        tuple(Rule.of(rule) for rule in role.rules),
        role.metadata.labels,
        tuple(_selector(s) for s in aggregation.cluster_role_selectors) if aggregation is not None else (),
    )


def _selector(selector: LabelSelector) -> Selector:
    from podling.api.selectors import NOTHING, from_label_selector

    try:
        return from_label_selector(selector)
    except ValueError:  # stored by who validates less: it can gather nothing
        return NOTHING


def _read_binding(resource: Resource[Any], found: Encoded) -> _Binding:
    binding = found.view(resource.type)
    reference = binding.role_ref
    clustered = reference.kind == "ClusterRole"
    subjects: dict[str, str] = {}
    for subject in binding.subjects:
        match subject.kind:
            case "ServiceAccount":
                namespace = subject.namespace or found.namespace
                key = f"u:system:serviceaccount:{namespace}:{subject.name}"
                subjects[key] = f'ServiceAccount "{subject.name}/{namespace}"'
            case "Group":
                subjects[f"g:{subject.name}"] = f'Group "{subject.name}"'
            case "User":
                subjects[f"u:{subject.name}"] = f'User "{subject.name}"'
    where = f"{found.name}/{found.namespace}" if found.namespace else found.name
    return _Binding(
        f'{resource.kind} "{where}" of {reference.kind} "{reference.name}"',
        ("" if clustered else found.namespace, reference.name),
        subjects,
    )
