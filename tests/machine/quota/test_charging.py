"""What a write is charged, why it is refused, and what a quota's status is reckoned to be."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.resources import CONFIG_MAPS, PODS, SERVICES
from podling.api.types.core_v1 import ResourceQuota
from podling.api.validation.shape import typed
from podling.quota.amounts import spelled
from podling.quota.charging import bill
from podling.quota.evaluators import EVALUATORS
from podling.quota.reckoning import needed, reckon

from .test_evaluators import NOW, made, pod


def quota(name: str = "q", hard: dict | None = None, used: dict | None = None, **spec: Any) -> ResourceQuota:
    status = {"hard": hard or {}, "used": used or {}}
    return typed(ResourceQuota, {"metadata": {"name": name}, "spec": {"hard": hard or {}, **spec}, "status": status})


def asking(cpu: str) -> Any:
    return pod({"requests": {"cpu": cpu}})


@pytest.mark.parametrize(
    ("quotas", "new", "said"),
    [
        ([], asking("1"), []),
        ([quota(hard={"secrets": "0"}, used={"secrets": "0"})], asking("1"), []),
        ([quota(hard={"cpu": "1"}, used={"cpu": "500m"})], asking("500m"), [{"cpu": "1"}]),
        (
            [quota(hard={"cpu": "1", "pods": "1"}, used={"cpu": "500m", "pods": "1"})],
            asking("600m"),
            "exceeded quota: q, requested: cpu=600m,pods=1, used: cpu=500m,pods=1, limited: cpu=1,pods=1",
        ),
        (
            [quota("a", {"pods": "1"}, {"pods": "0"}), quota("b", {"cpu": "1"}, {"cpu": "1"})],
            asking("1m"),
            "exceeded quota: b, requested: cpu=1m, used: cpu=1, limited: cpu=1",
        ),
        ([quota(hard={"cpu": "1", "pods": "1"})], asking("1"), "status unknown for quota: q, resources: cpu,pods"),
        ([quota(hard={"memory": "1"}, used={"memory": "0"})], asking("1"), "failed quota: q: must specify memory for: c0"),
        ([quota(hard={"pods": "0"}, used={"pods": "0"}, scopes=["BestEffort"])], asking("1"), []),
        ([quota(hard={"pods": "0"}, used={"pods": "3"}, scopes=["BestEffort"])], asking("1"), []),
        ([quota(hard={"limits.cpu": "1"}, used={"limits.cpu": "1"})], pod({"limits": {"cpu": "0"}}), []),
        (
            [quota(hard={"requests.cpu": "1"}, used={"requests.cpu": "0"})],
            asking("-1"),
            "quota usage is negative for resource(s): cpu,requests.cpu",
        ),
    ],
)  # fmt: skip
def test_a_creation(quotas: list[ResourceQuota], new: Any, said: Any) -> None:
    """All quotas that a Pod concerns are charged, or the first that cannot pay refuses it."""
    found = bill(quotas, EVALUATORS[PODS], new, now=NOW)
    assert found.refusal == (said if isinstance(said, str) else "")
    assert [spelled(charge.used) for charge in found.charges] == ([] if isinstance(said, str) else said)


def service(kind: str, ports: int = 1) -> Any:
    return made(SERVICES, {"type": kind, "ports": [{"port": i + 1} for i in range(ports)]})


@pytest.mark.parametrize(
    ("before", "after", "ports"),
    [
        (service("ClusterIP"), service("NodePort"), "2"),
        (service("NodePort"), service("NodePort", 2), "2"),
        (service("NodePort", 2), service("NodePort"), None),
        (service("NodePort"), service("ClusterIP"), None),
        (service("NodePort"), service("NodePort", 3), "refused"),
    ],
)
def test_a_change(before: Any, after: Any, ports: str | None) -> None:
    """What grows is charged by how much it grows; what shrinks gives nothing back here."""
    hard = {"services.nodeports": "2", "services": "1"}
    found = bill([quota(hard=hard, used={"services.nodeports": "1", "services": "1"})], EVALUATORS[SERVICES], after, before, now=NOW)  # fmt: skip
    if ports == "refused":
        assert found.refusal.startswith(
            "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=1,"
        )
        unlimited = bill([quota(hard=hard, used={"services.nodeports": "1", "services": "1"})], EVALUATORS[SERVICES], after, before, now=NOW, unlimited=True)  # fmt: skip
        assert spelled(unlimited.charges[0].used)["services.nodeports"] == "3"
        return
    assert found.refusal == ""
    assert [spelled(charge.used)["services.nodeports"] for charge in found.charges] == ([ports] if ports else [])


def test_a_change_into_a_scope_is_charged_in_full() -> None:
    """A quota that did not concern the object before has not been charged anything for it."""
    terminating = quota(hard={"pods": "1", "cpu": "2"}, used={"pods": "0", "cpu": "0"}, scopes=["Terminating"])
    old, new = asking("1"), pod({"requests": {"cpu": "2"}}, activeDeadlineSeconds=5)
    (charge,) = bill([terminating], EVALUATORS[PODS], new, old, now=NOW).charges
    assert spelled(charge.used) == {"cpu": "2", "pods": "1"}


def reckoned(found: ResourceQuota, **objects: list[Any]) -> tuple[dict | None, float | None]:
    evaluators = needed(found, EVALUATORS.values())
    by_resource = {each.resource: objects.get(each.resource.plural, []) for each in evaluators}
    answer = reckon(found, by_resource, evaluators, NOW)
    return (answer.status.used if answer.status is not None else None), answer.again_in


def test_reckoning() -> None:
    """All that is there counts, zero where nothing is; nothing is written where the status says so already."""
    hard = {"pods": "5", "cpu": "4", "configmaps": "3", "count/foos.example.com": "1"}
    first = quota(hard=hard)
    used, _ = reckoned(first, pods=[asking("1"), asking("500m")], configmaps=[made(CONFIG_MAPS, {})])
    assert used == {"configmaps": "1", "cpu": "1500m", "pods": "2"}
    assert reckoned(quota(hard=hard, used=used), pods=[asking("1500m"), pod({})], configmaps=[None]) == (None, None)
    kept = {"count/foos.example.com": "7"}
    assert reckoned(quota(hard=hard, used=kept))[0] == {"configmaps": "0", "cpu": "0", "pods": "0", **kept}
    assert reckoned(quota(hard={"pods": "1"}, used={"pods": "0", "secrets": "3"}))[0] == {"pods": "0"}


def test_a_status_follows_its_specification() -> None:
    """New limits are new also where usage is the same, and what is written in another way is not."""
    changed = typed(
        ResourceQuota, {"spec": {"hard": {"cpu": "2"}}, "status": {"hard": {"cpu": "1"}, "used": {"cpu": "0"}}}
    )
    answer = reckon(changed, {PODS: []}, [EVALUATORS[PODS]], NOW)
    assert answer.status is not None
    assert (answer.status.hard, answer.is_new) == ({"cpu": "2"}, True)
    same = typed(
        ResourceQuota, {"spec": {"hard": {"cpu": "1000m"}}, "status": {"hard": {"cpu": "1"}, "used": {"cpu": "0"}}}
    )
    assert reckon(same, {PODS: []}, [EVALUATORS[PODS]], NOW).status is None


def test_when_to_look_again() -> None:
    """At the first instant at which a Pod stops counting by itself, in scope or not."""
    late = [
        pod({}, metadata={"deletionTimestamp": f"2026-11-30T11:59:{second}Z", "deletionGracePeriodSeconds": 30})
        for second in (20, 40, 50)
    ]
    assert reckoned(quota(hard={"pods": "9"}), pods=late) == ({"pods": "2"}, 10)
