"""What a FlowSchema may tell apart, and what a level may limit."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.resources import FLOW_SCHEMAS, PRIORITY_LEVELS

from .objects import found, found_in_update

USER = {"kind": "User", "user": {"name": "u"}}
URLS = {"verbs": ["*"], "nonResourceURLs": ["/a/*"]}
PODS = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]}
ALL = ["*"]
QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def schema(name: str = "x", **spec: Any) -> dict[str, Any]:
    rules = [{"subjects": [USER], "nonResourceRules": [URLS], "resourceRules": [PODS]}]
    told = {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 2, "rules": rules} | spec
    return {"metadata": {"name": name}, "spec": told}


def ruled(**rule: Any) -> dict[str, Any]:
    return schema(rules=[{"subjects": [USER], "nonResourceRules": [URLS]} | rule])


def of_pods(**rule: Any) -> dict[str, Any]:
    return ruled(resourceRules=[PODS | rule])


def of_urls(*urls: str) -> dict[str, Any]:
    return ruled(nonResourceRules=[URLS | {"nonResourceURLs": list(urls)}])


def by(**subject: Any) -> dict[str, Any]:
    return ruled(subjects=[subject])


def level(name: str = "x", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"type": "Limited"} | spec}


def limited(name: str = "x", **more: Any) -> dict[str, Any]:
    return level(name, limited={"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}} | more)


def queued(**queuing: Any) -> dict[str, Any]:
    return limited(limitResponse={"type": "Queue", "queuing": QUEUING | queuing})


def mandatory(name: str) -> dict[str, Any]:
    groups = ["system:masters"] if name == "exempt" else ["system:unauthenticated", "system:authenticated"]
    rule = {
        "subjects": [{"kind": "Group", "group": {"name": group}} for group in groups],
        "resourceRules": [{"verbs": ALL, "apiGroups": ALL, "resources": ALL, "namespaces": ALL, "clusterScope": True}],
        "nonResourceRules": [{"verbs": ALL, "nonResourceURLs": ALL}],
    }
    method = {} if name == "exempt" else {"distinguisherMethod": {"type": "ByUser"}}
    precedence = 1 if name == "exempt" else 10000
    return schema(
        name, priorityLevelConfiguration={"name": name}, matchingPrecedence=precedence, rules=[rule], **method
    )


SOUND = [
    *[(FLOW_SCHEMAS, it) for it in (schema(), mandatory("exempt"), mandatory("catch-all"), of_urls("/"), of_urls("*"))],
    (FLOW_SCHEMAS, by(kind="ServiceAccount", serviceAccount={"name": "*", "namespace": "a"})),
    (FLOW_SCHEMAS, of_pods(namespaces=[], clusterScope=True)),
    *[(PRIORITY_LEVELS, it) for it in (limited(nominalConcurrencyShares=0), queued(), limited(borrowingLimitPercent=101))],
    (PRIORITY_LEVELS, level("exempt", type="Exempt", exempt={"nominalConcurrencyShares": 9})),
    (PRIORITY_LEVELS, limited("catch-all", nominalConcurrencyShares=5, lendablePercent=0)),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "tree"), SOUND)
def test_what_is_sound(resource: Any, tree: dict[str, Any]) -> None:
    """Nothing speaks against it, when it is made and when it is written again."""
    assert found(resource, tree) == found_in_update(resource, tree, tree) == []


@pytest.mark.parametrize(
    ("resource", "tree", "said"),
    [
        (FLOW_SCHEMAS, schema(matchingPrecedence=-1), "spec.matchingPrecedence: Invalid value: -1: must be a positive value"),
        (FLOW_SCHEMAS, schema(matchingPrecedence=10001), "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"),
        (FLOW_SCHEMAS, schema(matchingPrecedence=1), "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"),
        (FLOW_SCHEMAS, schema(distinguisherMethod={"type": "a"}), 'spec.distinguisherMethod.type: Unsupported value: "a": supported values: "ByNamespace", "ByUser"'),
        (FLOW_SCHEMAS, schema(priorityLevelConfiguration={"name": ""}), "spec.priorityLevelConfiguration.name: Required value: must reference a priority level"),
        (FLOW_SCHEMAS, schema(priorityLevelConfiguration={"name": "A"}), 'spec.priorityLevelConfiguration.name: Invalid value: "A": a lowercase RFC 1123'),
        (FLOW_SCHEMAS, ruled(subjects=[]), "spec.rules[0].subjects: Required value: subjects must contain at least one value"),
        (FLOW_SCHEMAS, ruled(nonResourceRules=[]), "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty"),
        (FLOW_SCHEMAS, by(kind="a"), 'spec.rules[0].subjects[0].kind: Unsupported value: "a": supported values: "Group", "ServiceAccount", "User"'),
        (FLOW_SCHEMAS, by(kind="Group"), "spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'"),
        (FLOW_SCHEMAS, by(kind="User", user={"name": ""}), "spec.rules[0].subjects[0].user.name: Required value"),
        (FLOW_SCHEMAS, by(kind="User", user={"name": "a"}, group={"name": "b"}), "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'"),
        (FLOW_SCHEMAS, by(kind="ServiceAccount", serviceAccount={"name": "a", "namespace": ""}), "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account"),
        (FLOW_SCHEMAS, by(kind="ServiceAccount", serviceAccount={"name": "A", "namespace": "a"}), 'spec.rules[0].subjects[0].serviceAccount.name: Invalid value: "A": a lowercase RFC 1123'),
        (FLOW_SCHEMAS, of_pods(verbs=[]), "spec.rules[0].resourceRules[0].verbs: Required value: verbs must contain at least one value"),
        (FLOW_SCHEMAS, of_pods(verbs=["*", "get"]), """spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs"""),
        (FLOW_SCHEMAS, of_pods(verbs=["eat"]), 'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["eat"]: supported values: "create", "delete", '),
        (FLOW_SCHEMAS, of_pods(apiGroups=[]), "spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group"),
        (FLOW_SCHEMAS, of_pods(resources=["*", "a"]), "if '*' is present, must not specify other resources"),
        (FLOW_SCHEMAS, of_pods(namespaces=[]), "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace"),
        (FLOW_SCHEMAS, of_pods(namespaces=["A"]), "spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: \"A\": each member of this list must be '*' or a DNS-1123 label; "),
        (FLOW_SCHEMAS, of_urls(), "spec.rules[0].nonResourceRules[0].nonResourceURLs: Required value: nonResourceURLs must contain at least one value"),
        (FLOW_SCHEMAS, of_urls(""), 'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "": must not be empty'),
        (FLOW_SCHEMAS, of_urls("a"), "must start with slash"),
        (FLOW_SCHEMAS, of_urls("/a b"), "must not contain white-space"),
        (FLOW_SCHEMAS, of_urls("/a//b"), "must not contain double slash"),
        (FLOW_SCHEMAS, of_urls("/a*"), "wildcard can only do suffix matching"),
        (FLOW_SCHEMAS, of_urls("/*/*"), "wildcard can only do suffix matching"),
        (FLOW_SCHEMAS, schema("exempt", rules=[]), "spec of 'exempt' must equal the fixed value"),
        (PRIORITY_LEVELS, level(), "spec.limited: Required value: must not be empty when type is Limited"),
        (PRIORITY_LEVELS, level(type="a"), 'spec.type: Unsupported value: "a": supported values: "Exempt", "Limited"'),
        (PRIORITY_LEVELS, level(type="Exempt"), "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"),
        (PRIORITY_LEVELS, limited() | {"spec": limited()["spec"] | {"exempt": {}}}, "spec.exempt: Forbidden: must be nil if the type is Limited"),
        (PRIORITY_LEVELS, limited(nominalConcurrencyShares=-1), "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer"),
        (PRIORITY_LEVELS, limited(lendablePercent=101), "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive"),
        (PRIORITY_LEVELS, limited(borrowingLimitPercent=-1), "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer"),
        (PRIORITY_LEVELS, limited(limitResponse={"type": "a"}), 'spec.limited.limitResponse.type: Unsupported value: "a": supported values: "Queue", "Reject"'),
        (PRIORITY_LEVELS, limited(limitResponse={"type": "Reject", "queuing": QUEUING}), "spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited"),
        (PRIORITY_LEVELS, limited(limitResponse={"type": "Queue"}), "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited"),
        (PRIORITY_LEVELS, queued(queueLengthLimit=-1), "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive"),
        (PRIORITY_LEVELS, queued(queues=10_000_001, handSize=1), "must not be greater than 10000000"),
        (PRIORITY_LEVELS, queued(queues=7), "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (7)"),
        (PRIORITY_LEVELS, queued(queues=128, handSize=9), "required entropy bits of deckSize 128 and handSize 9 should not be greater than 60"),
    ],
)  # fmt: skip
def test_each_refusal_has_upstreams_path_and_words(resource: Any, tree: dict[str, Any], said: str) -> None:
    """One mistake, one cause; an update is judged alike."""
    (line,) = found(resource, tree)
    assert said in line
    assert found_in_update(resource, tree, tree) == [line]


def test_the_two_of_every_cluster_stay() -> None:
    """Of `exempt` its shares may change, of `catch-all` nothing."""
    assert found(PRIORITY_LEVELS, limited("exempt"))[1].endswith(
        "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
    )
    (line,) = found(PRIORITY_LEVELS, limited("catch-all"))
    assert line.endswith("spec of 'catch-all' must equal the fixed value")
