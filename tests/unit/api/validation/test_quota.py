"""What a ResourceQuota may say."""

from __future__ import annotations

import copy

import pytest

from podling.api import defaults, validation
from podling.api.resources import RESOURCE_QUOTAS

from .objects import found, found_in_update

HARD = "spec.hard"
TERMS = "spec.scopeSelector.matchExpressions"


def quota(hard: dict | None = None, status: dict | None = None, **spec: object) -> dict:
    metadata = {"name": "q", "namespace": "default", "resourceVersion": "1"}
    tree = copy.deepcopy({"metadata": metadata, "spec": {"hard": hard or {}, **spec}, "status": status or {}})
    defaults.apply(RESOURCE_QUOTAS, tree)
    return tree


def selecting(scope: str, operator: str = "Exists", *values: str, hard: dict | None = None) -> dict:
    term = {"scopeName": scope, "operator": operator, "values": list(values)}
    return quota(hard, scopeSelector={"matchExpressions": [term]})


def test_what_is_sound() -> None:
    """Every kind of name and scope; amounts are written as upstream writes them."""
    names = ("cpu", "pods", "count/deployments.apps", "requests.example.com/gpu", "hugepages-2Mi", "requests.storage",
             "gold.storageclass.storage.k8s.io/requests.storage", "services.loadbalancers")  # fmt: skip
    sound = quota(dict.fromkeys(names, "1"))
    assert found(RESOURCE_QUOTAS, sound) == found_in_update(RESOURCE_QUOTAS, sound, quota()) == []
    assert found(RESOURCE_QUOTAS, quota({"pods": "1"}, scopes=["BestEffort", "Terminating"])) == []
    assert found(RESOURCE_QUOTAS, selecting("PriorityClass", "In", "a", hard={"cpu": "1"})) == []
    assert quota({"cpu": "1000m", "memory": "1024Mi"})["spec"]["hard"] == {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (
            quota({"thing": "1"}),
            [f'{HARD}[thing]: Invalid value: "thing": must be a standard resource type or fully qualified', f'{HARD}[thing]: Invalid value: "thing": must be a standard resource for quota'],
        ),
        (quota({"storage": "1"}), [f'{HARD}[storage]: Invalid value: "storage": must be a standard resource for quota']),
        (quota({"pods": "-1"}), [f'{HARD}[pods]: Invalid value: "-1": must be greater than or equal to 0']),
        (quota({"pods": "500m"}), [f'{HARD}[pods]: Invalid value: "500m": must be an integer']),
        (quota(scopes=["Odd"]), ['spec.scopes: Invalid value: ["Odd"]: unsupported scope']),
        (quota({"cpu": "1"}, scopes=["BestEffort"]), ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource']),
        (
            quota(scopes=["BestEffort", "NotBestEffort"]),
            ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
        ),
        (selecting("Odd"), [f'{TERMS}.scopeName: Invalid value: "Odd": unsupported scope']),
        (
            selecting("PriorityClass", hard={"secrets": "1"}),
            [f'{TERMS}: Invalid value: {{"matchExpressions":[{{"operator":"Exists","scopeName":"PriorityClass"}}]}}: unsupported scope applied to resource'],
        ),
        (selecting("VolumeAttributesClass", hard={"requests.storage": "1"}), []),
        (
            selecting("Terminating", "In", "a"),
            [f"{TERMS}.operator: Invalid value: \"In\": must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"],
        ),
        (
            selecting("PriorityClass", "NotIn"),
            [f"{TERMS}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"],
        ),
        (
            selecting("PriorityClass", "Exists", "a"),
            [f"{TERMS}.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"],
        ),
        (selecting("PriorityClass", "Like"), [f'{TERMS}.operator: Invalid value: "Like": not a valid selector operator']),
    ],
)  # fmt: skip
def test_what_a_quota_may_not_say(tree: dict, lines: list[str]) -> None:
    """Each refusal has upstream's path and words."""
    assert found(RESOURCE_QUOTAS, tree) == lines


def test_scopes_stay() -> None:
    """Hard limits may change, scopes may not."""
    assert (
        found_in_update(RESOURCE_QUOTAS, quota({"pods": "2"}, scopes=["BestEffort"]), quota(scopes=["BestEffort"]))
        == []
    )
    assert found_in_update(RESOURCE_QUOTAS, quota(scopes=["Terminating"]), quota(scopes=["BestEffort"])) == [
        'spec.scopes: Invalid value: ["Terminating"]: field is immutable'
    ]


def test_a_status_is_checked_like_a_specification() -> None:
    """Names and amounts, of limits and of usage."""
    wrong = quota(status={"hard": {"thing": "1"}, "used": {"pods": "-1"}})
    assert [cause.field for cause in validation.status_update(RESOURCE_QUOTAS, wrong, quota())] == [
        "status.hard[thing]", "status.hard[thing]", "status.used[pods]",
    ]  # fmt: skip
