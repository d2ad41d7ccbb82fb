"""FlowSchemas and PriorityLevelConfigurations: who is told apart from whom, and how much each may ask at a time.

The two that every cluster has, `exempt` and `catch-all`, are what they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from podling.api.types.flowcontrol_v1 import (
    ExemptPriorityLevelConfiguration,
    FlowDistinguisherMethod,
    FlowSchemaSpec,
    GroupSubject,
    LimitedPriorityLevelConfiguration,
    LimitResponse,
    NonResourcePolicyRule,
    PolicyRulesWithSubjects,
    PriorityLevelConfigurationReference,
    PriorityLevelConfigurationSpec,
    ResourcePolicyRule,
    Subject,
)
from podling.api.validation import formats, meta
from podling.api.validation.field import (
    SPEC,
    STATUS,
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.flowcontrol_v1 import (
        FlowSchema,
        FlowSchemaCondition,
        PriorityLevelConfiguration,
        PriorityLevelConfigurationCondition,
        QueuingConfiguration,
    )

EXEMPT: Final = "exempt"
CATCH_ALL: Final = "catch-all"
_HIGHEST: Final = 10_000
_MOST_QUEUES: Final = 10_000_000
_HASH_BITS: Final = 60
_ALL: Final = ("*",)
_PERCENT: Final = 100
_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")


def _everything_of(*groups: str) -> tuple[PolicyRulesWithSubjects, ...]:
    rules = PolicyRulesWithSubjects(
        subjects=tuple(Subject(kind="Group", group=GroupSubject(name=group)) for group in groups),
        resource_rules=(
            ResourcePolicyRule(verbs=_ALL, api_groups=_ALL, resources=_ALL, namespaces=_ALL, cluster_scope=True),
        ),
        non_resource_rules=(NonResourcePolicyRule(verbs=_ALL, non_resource_urls=_ALL),),
    )
    return (rules,)


_SCHEMAS: Final = {
    EXEMPT: FlowSchemaSpec(
        priority_level_configuration=PriorityLevelConfigurationReference(name=EXEMPT),
        matching_precedence=1,
        rules=_everything_of("system:masters"),
    ),
    CATCH_ALL: FlowSchemaSpec(
        priority_level_configuration=PriorityLevelConfigurationReference(name=CATCH_ALL),
        matching_precedence=_HIGHEST,
        distinguisher_method=FlowDistinguisherMethod(type="ByUser"),
        rules=_everything_of("system:unauthenticated", "system:authenticated"),
    ),
}
_LAST_LEVEL: Final = PriorityLevelConfigurationSpec(
    type="Limited",
    limited=LimitedPriorityLevelConfiguration(
        nominal_concurrency_shares=5, lendable_percent=0, limit_response=LimitResponse(type="Reject")
    ),
)


def check_schema_create(schema: FlowSchema, causes: list[Cause]) -> None:
    meta.check_create(schema.metadata, causes, namespaced=False)
    _check_schema(schema, causes)


def check_schema_update(new: FlowSchema, old: FlowSchema, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_schema(new, causes)


def check_schema_status_update(new: FlowSchema, old: FlowSchema, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_conditions(new.status.conditions, causes)


def check_level_create(level: PriorityLevelConfiguration, causes: list[Cause]) -> None:
    meta.check_create(level.metadata, causes, namespaced=False)
    _check_level(level, causes)


def check_level_update(new: PriorityLevelConfiguration, old: PriorityLevelConfiguration, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_level(new, causes)


def check_level_status_update(
    new: PriorityLevelConfiguration, old: PriorityLevelConfiguration, causes: list[Cause]
) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_conditions(new.status.conditions, causes)


def _check_schema(schema: FlowSchema, causes: list[Cause]) -> None:
    spec, name = schema.spec, schema.metadata.name
    precedence, where = spec.matching_precedence or 0, SPEC / "matchingPrecedence"
    if precedence <= 0:
        causes.append(invalid(where, precedence, "must be a positive value"))
    if precedence > _HIGHEST:
        causes.append(invalid(where, precedence, f"must not be greater than {_HIGHEST}"))
    if precedence == 1 and name != EXEMPT:
        causes.append(invalid(where, 1, "only the schema named 'exempt' may have matchingPrecedence 1"))
    method = spec.distinguisher_method
    if method is not None and method.type not in {"ByNamespace", "ByUser"}:
        where = SPEC / "distinguisherMethod" / "type"
        causes.append(not_supported(where, method.type, ("ByNamespace", "ByUser")))
    level, where = spec.priority_level_configuration.name, SPEC / "priorityLevelConfiguration" / "name"
    if level:
        invalid_each(where, level, formats.dns_subdomain(level), causes)
    else:
        causes.append(required(where, "must reference a priority level"))
    for i, rule in enumerate(spec.rules):
        _check_rules(rule, (SPEC / "rules")[i], causes)
    if name in _SCHEMAS and spec != _SCHEMAS[name]:
        causes.append(invalid(SPEC, spec, f"spec of '{name}' must equal the fixed value"))


def _check_rules(rules: PolicyRulesWithSubjects, path: Path, causes: list[Cause]) -> None:
    for i, subject in enumerate(rules.subjects):
        _check_subject(subject, (path / "subjects")[i], causes)
    if not rules.subjects:
        causes.append(required(path / "subjects", "subjects must contain at least one value"))
    if not rules.resource_rules and not rules.non_resource_rules:
        causes.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for i, rule in enumerate(rules.resource_rules):
        _check_resources(rule, (path / "resourceRules")[i], causes)
    for i, other in enumerate(rules.non_resource_rules):
        _check_urls(other, (path / "nonResourceRules")[i], causes)


def _check_subject(subject: Subject, path: Path, causes: list[Cause]) -> None:
    members = (
        ("ServiceAccount", "serviceAccount", subject.service_account),
        ("User", "user", subject.user),
        ("Group", "group", subject.group),
    )
    if subject.kind not in {kind for kind, _, _ in members}:
        causes.append(not_supported(path / "kind", subject.kind, ("Group", "ServiceAccount", "User")))
        return
    for kind, member, found in members:
        if kind != subject.kind:
            continue
        if found is None:
            causes.append(required(path / member, f"{member} is required when subject kind is '{kind}'"))
        elif not found.name:
            causes.append(required(path / member / "name"))
    account, where = subject.service_account, path / "serviceAccount"
    if subject.kind == "ServiceAccount" and account is not None:
        if account.name and account.name != "*":
            invalid_each(where / "name", account.name, formats.dns_subdomain(account.name), causes)
        if account.namespace:
            invalid_each(where / "namespace", account.namespace, formats.dns_label(account.namespace), causes)
        else:
            causes.append(required(where / "namespace", "must specify namespace for service account"))
    causes.extend(
        forbidden(path / member, f"{member} is forbidden when subject kind is not '{kind}'")
        for kind, member, found in members
        if kind != subject.kind and found is not None
    )


def _check_verbs(verbs: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    if not verbs:
        causes.append(required(path, "verbs must contain at least one value"))
    elif "*" in verbs:
        _check_alone(verbs, path, "verbs", causes)
    elif not set(verbs) <= set(_VERBS):
        causes.append(not_supported(path, verbs, _VERBS))


def _check_alone(values: tuple[str, ...], path: Path, others: str, causes: list[Cause]) -> None:
    if "*" in values and len(values) > 1:
        causes.append(invalid(path, values, f"if '*' is present, must not specify other {others}"))


def _check_resources(rule: ResourcePolicyRule, path: Path, causes: list[Cause]) -> None:
    _check_verbs(rule.verbs, path / "verbs", causes)
    if not rule.api_groups:
        causes.append(required(path / "apiGroups", "resource rules must supply at least one api group"))
    _check_alone(rule.api_groups, path / "apiGroups", "api groups", causes)
    if not rule.resources:
        causes.append(required(path / "resources", "resource rules must supply at least one resource"))
    _check_alone(rule.resources, path / "resources", "resources", causes)
    where = path / "namespaces"
    if not rule.namespaces and not rule.cluster_scope:
        said = "resource rules that are not cluster scoped must supply at least one namespace"
        causes.append(required(where, said))
    elif "*" in rule.namespaces:
        _check_alone(rule.namespaces, where, "namespaces", causes)
    else:
        intro = "each member of this list must be '*' or a DNS-1123 label; "
        for i, namespace in enumerate(rule.namespaces):
            said_of = (intro + complaint for complaint in formats.dns_label(namespace))
            invalid_each(where[i], namespace, said_of, causes)


def _check_urls(rule: NonResourcePolicyRule, path: Path, causes: list[Cause]) -> None:
    _check_verbs(rule.verbs, path / "verbs", causes)
    urls, where = rule.non_resource_urls, path / "nonResourceURLs"
    if not urls:
        causes.append(required(where, "nonResourceURLs must contain at least one value"))
    elif "*" in urls:
        _check_alone(urls, where, "non-resource URLs", causes)
    else:
        for i, url in enumerate(urls):
            complaint = _of_url(url)
            if complaint:
                causes.append(invalid(where[i], url, complaint))


def _of_url(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if "*" in url and (url.count("*") > 1 or not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def _check_level(level: PriorityLevelConfiguration, causes: list[Cause]) -> None:
    spec, name = level.spec, level.metadata.name
    if (name == EXEMPT) != (spec.type == "Exempt"):
        said = "type must be 'Exempt' if and only if name is 'exempt'"
        causes.append(invalid(SPEC / "type", spec.type, said))
    match spec.type:
        case "Exempt":
            if spec.limited is not None:
                causes.append(forbidden(SPEC / "limited", "must be nil if the type is not Limited"))
            if spec.exempt is not None:
                _check_shares(spec.exempt, SPEC / "exempt", causes)
        case "Limited":
            if spec.exempt is not None:
                causes.append(forbidden(SPEC / "exempt", "must be nil if the type is Limited"))
            if spec.limited is None:
                causes.append(required(SPEC / "limited", "must not be empty when type is Limited"))
            else:
                _check_limited(spec.limited, SPEC / "limited", causes)
        case other:
            causes.append(not_supported(SPEC / "type", other, ("Exempt", "Limited")))
    if name == EXEMPT and (spec.type, spec.limited) != ("Exempt", None):
        said = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
        causes.append(invalid(SPEC, spec, said))
    if name == CATCH_ALL and spec != _LAST_LEVEL:
        causes.append(invalid(SPEC, spec, "spec of 'catch-all' must equal the fixed value"))


def _check_shares(
    level: ExemptPriorityLevelConfiguration | LimitedPriorityLevelConfiguration, path: Path, causes: list[Cause]
) -> None:
    shares, lendable = level.nominal_concurrency_shares, level.lendable_percent
    if shares is not None and shares < 0:
        causes.append(invalid(path / "nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if isinstance(level, LimitedPriorityLevelConfiguration):
        _check_response(level.limit_response, path / "limitResponse", causes)
    if lendable is not None and not 0 <= lendable <= _PERCENT:
        causes.append(invalid(path / "lendablePercent", lendable, "must be between 0 and 100, inclusive"))


def _check_limited(level: LimitedPriorityLevelConfiguration, path: Path, causes: list[Cause]) -> None:
    _check_shares(level, path, causes)
    borrowed = level.borrowing_limit_percent
    if borrowed is not None and borrowed < 0:
        said = "if specified, must be a non-negative integer"
        causes.append(invalid(path / "borrowingLimitPercent", borrowed, said))


def _check_response(response: LimitResponse, path: Path, causes: list[Cause]) -> None:
    queuing, where = response.queuing, path / "queuing"
    match response.type:
        case "Reject":
            if queuing is not None:
                causes.append(forbidden(where, "must be nil if limited.limitResponse.type is not Limited"))
        case "Queue":
            if queuing is None:
                causes.append(required(where, "must not be empty if limited.limitResponse.type is Limited"))
            else:
                _check_queuing(queuing, where, causes)
        case other:
            causes.append(not_supported(path / "type", other, ("Queue", "Reject")))


def _check_queuing(queuing: QueuingConfiguration, path: Path, causes: list[Cause]) -> None:
    length, queues, hand = queuing.queue_length_limit or 0, queuing.queues or 0, queuing.hand_size or 0
    if length <= 0:
        causes.append(invalid(path / "queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        causes.append(invalid(path / "queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        causes.append(invalid(path / "queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    if hand <= 0:
        causes.append(invalid(path / "handSize", hand, "must be positive"))
    elif hand > queues:
        causes.append(invalid(path / "handSize", hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        said = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        causes.append(invalid(path / "handSize", hand, said))


def _check_conditions(
    conditions: tuple[FlowSchemaCondition | PriorityLevelConfigurationCondition, ...], causes: list[Cause]
) -> None:
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        where = (STATUS / "conditions")[i] / "type"
        if condition.type in seen:
            causes.append(duplicate(where, condition.type))
        seen.add(condition.type)
        if not condition.type:
            causes.append(required(where, "must not be empty"))
