"""The arithmetic of PodDisruptionBudgets."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.times import to_wire
from podling.api.types.core_v1 import Pod
from podling.api.types.policy_v1 import PodDisruptionBudget
from podling.controllers.disruption_budget import plan, selector_of

NOW = 1_700_000_000.0


def budget(disrupted: dict[str, str] | None = None, **spec: Any) -> PodDisruptionBudget:
    meta = {"name": "b", "namespace": "default", "generation": 3}
    spec.setdefault("selector", {"matchLabels": {"app": "web"}})
    return from_tree(
        PodDisruptionBudget, {"metadata": meta, "spec": spec, "status": {"disruptedPods": disrupted or {}}}
    )


def pod(name: str, *, ready: bool = True, owned: bool = False, going: bool = False) -> Pod:
    meta: dict[str, Any] = {"name": name, "namespace": "default"}
    if owned:
        meta["ownerReferences"] = [{"apiVersion": "a/v1", "kind": "X", "name": "x", "uid": "u", "controller": True}]
    if going:
        meta["deletionTimestamp"] = to_wire(NOW)
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return from_tree(Pod, {"metadata": meta, "spec": {"containers": []}, "status": status})


@pytest.mark.parametrize(
    ("available", "pods", "allowed"),
    [
        (1, [pod("a"), pod("b")], 1),
        (2, [pod("a"), pod("b")], 0),
        (0, [pod("a"), pod("b")], 2),
        (1, [pod("a"), pod("b", ready=False)], 0),
        (1, [pod("a"), pod("b", going=True)], 0),
        (0, [], 0),
    ],
)
def test_what_is_healthy_above_the_minimum_may_go(available: int, pods: list[Pod], allowed: int) -> None:
    """Only ready Pods that nobody is taking away count; of no Pods at all none may go."""
    status = plan(budget(minAvailable=available), pods, NOW).status
    assert status is not None
    assert (status.disruptions_allowed, status.expected_pods, status.observed_generation) == (allowed, len(pods), 3)


def test_granted_evictions_count_as_gone_for_two_minutes() -> None:
    """Then they are late: off the list, counted again, and told."""
    held = budget({"a": to_wire(NOW), "gone": to_wire(NOW)}, minAvailable=1)
    pods = [pod("a"), pod("b")]
    found = plan(held, pods, NOW + 60)
    assert found.status is not None
    assert (found.status.current_healthy, found.status.disrupted_pods) == (1, {"a": to_wire(NOW)})
    assert found.again_in == pytest.approx(60, abs=0.01)
    assert found.not_deleted == ()
    late = plan(held, pods, NOW + 121)
    assert late.status is not None
    assert (late.status.current_healthy, late.status.disrupted_pods) == (2, {})
    assert [p.metadata.name for p in late.not_deleted] == ["a"]


def test_nothing_is_written_twice() -> None:
    """A status that says so already is left, with the time of its condition."""
    import msgspec

    first = plan(budget(minAvailable=1), [pod("a")], NOW).status
    assert first is not None
    assert plan(msgspec.structs.replace(budget(minAvailable=1), status=first), [pod("a")], NOW + 50).status is None


def test_shares_need_controllers() -> None:
    """Pods that nobody controls make a share meaningless; a controller that is not known is an error."""
    found = plan(budget(maxUnavailable="50%"), [pod("a")], NOW)
    assert found.unmanaged and found.status is not None and found.status.disruptions_allowed == 0
    with pytest.raises(ValueError, match='found no controllers for pod "a"'):
        plan(budget(minAvailable="50%"), [pod("a", owned=True)], NOW)


@pytest.mark.parametrize("selector", [None, {}])
def test_a_budget_about_everybody_is_about_nobody(selector: dict[str, Any] | None) -> None:
    """No selector and an empty one select nothing, as for evictions."""
    assert not selector_of(budget(selector=selector)).matches({"app": "web"})
