"""pods/eviction: a deletion that a PodDisruptionBudget may refuse.

    finished, pending or terminating ─────────────────────────▶ deleted: there is nothing to protect
    no budget ────────────────────────────────────────────────▶ deleted
    not ready, and its policy or enough healthy others allow ─▶ deleted, if it is the same still
    ready: the budget allows one ─▶ one fewer, noted in its status ─▶ deleted
           the budget allows none ─▶ 429
    two budgets or more ──────────────────────────────────────▶ 500

A granted eviction is written into the budget before the Pod is touched: of two that come together, one is granted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api import times
from podling.api.body import decode_body
from podling.api.errors import StatusError, bad_request, conflict, forbidden, not_found, too_many_requests
from podling.api.pods import TERMINAL_PHASES
from podling.api.resources import POD_DISRUPTION_BUDGETS
from podling.api.selectors import from_label_selector
from podling.apiserver.admission.operation import Operation
from podling.apiserver.cache import Scope
from podling.apiserver.objects import tree_of
from podling.apiserver.options import DeleteOptions, delete_options
from podling.apiserver.paths import Target
from podling.apiserver.verbs import deleting, updating, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.api.types.policy_v1 import PodDisruptionBudget
    from podling.apiserver.options import WriteOptions
    from podling.apiserver.record import User
    from podling.apiserver.registry import Registry

_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL: Final = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_COME_AGAIN: Final = 10
_MOST_DISRUPTED: Final = 2000


async def evict(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    body: bytes,
    content_type: str,
    warnings: list[str],
) -> None:
    """Delete a Pod if its budget lets it go; `StatusError` 429 where it must stay for now."""
    eviction = decode_body(body, content_type, "Eviction", strict=False).tree
    metadata = eviction.get("metadata") or {}
    if metadata.get("name", target.name) != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    wanted = _wishes(eviction, options)
    for _ in range(writing.ATTEMPTS):
        try:
            await _attempt(registry, target, user, wanted, eviction, warnings)
            return
        except StatusError as refusal:
            # Somebody was faster with the Pod; whoever named its revision wants to know.
            if not refusal.is_conflict or wanted.revision:
                raise
    raise conflict("", "pods", target.name)


async def _attempt(
    registry: Registry,
    target: Target,
    user: User,
    wanted: DeleteOptions,
    eviction: dict[str, Any],
    warnings: list[str],
) -> None:
    record = target.record
    current = registry.shelf(record).get(record.key(target.namespace, target.name))
    if current is None:
        raise not_found("", "pods", target.name)
    pod: dict[str, Any] = msgspec.json.decode(current.raw)
    context = writing.new_context(registry, user, warnings, dry_run=wanted.dry_run)
    operation = Operation("CREATE", record, "eviction", target.namespace, target.name, eviction, pod, context)
    writing.admit(registry, operation)
    await writing.mutate(registry, operation)
    await writing.ask(registry, operation)
    exactly = str(current.revision)
    budget = None if _is_past_protection(pod) else _budget_of(registry, current)
    if budget is not None:
        if _may_go_unhealthy(pod, budget):
            try:
                await _delete(registry, target, user, replace(wanted, revision=wanted.revision or exactly), warnings)
            except StatusError as refusal:
                if refusal.is_conflict and not wanted.revision:
                    raise _being_processed(budget) from None
                raise
            return
        await _take_from(registry, target, user, budget, wanted, warnings)
    elif _phase(pod) == "Pending" and not pod["metadata"].get("deletionTimestamp"):
        # It might become ready meanwhile, and then a budget would have had a word.
        wanted = replace(wanted, revision=wanted.revision or exactly)
    await _delete(registry, target, user, wanted, warnings)


def _wishes(eviction: dict[str, Any], options: WriteOptions) -> DeleteOptions:
    wishes = eviction.get("deleteOptions")
    wanted = delete_options((), msgspec.json.encode(wishes), "application/json") if wishes else DeleteOptions()
    return replace(wanted, dry_run=wanted.dry_run or options.dry_run)


def _phase(pod: dict[str, Any]) -> str:
    phase: str = (pod.get("status") or {}).get("phase") or ""
    return phase


def _is_past_protection(pod: dict[str, Any]) -> bool:
    return _phase(pod) in {*TERMINAL_PHASES, "Pending"} or bool(pod["metadata"].get("deletionTimestamp"))


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(it.get("type") == "Ready" and it.get("status") == "True" for it in conditions)


def _budget_of(registry: Registry, pod: Encoded) -> PodDisruptionBudget | None:
    shelf = registry.shelf(registry.record(POD_DISRUPTION_BUDGETS))
    found: list[PodDisruptionBudget] = []
    for held in shelf.select(Scope(namespace=pod.namespace)):
        budget = held.view(POD_DISRUPTION_BUDGETS.type)
        selector = from_label_selector(budget.spec.selector)
        if not selector.empty and selector.matches(pod.labels):
            found.append(budget)
    if len(found) > 1:
        raise StatusError(500, "", _SEVERAL)
    return found[0] if found else None


def _may_go_unhealthy(pod: dict[str, Any], budget: PodDisruptionBudget) -> bool:
    """Whether a Pod counts for nothing and may go without being taken from the budget."""
    if _is_ready(pod):
        return False
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return True
    desired = budget.status.desired_healthy or 0
    return desired > 0 and (budget.status.current_healthy or 0) >= desired


async def _take_from(
    registry: Registry,
    target: Target,
    user: User,
    budget: PodDisruptionBudget,
    wanted: DeleteOptions,
    warnings: list[str],
) -> None:
    """Note in the budget's status that the Pod goes; `StatusError` where the budget does not allow it."""
    status = Target(registry.record(POD_DISRUPTION_BUDGETS), target.namespace, budget.metadata.name, "status")
    now = registry.clock.time()

    def change(current: Encoded) -> dict[str, Any]:
        _check(current.view(POD_DISRUPTION_BUDGETS.type))
        tree = tree_of(current)
        held = tree["status"]
        held["disruptionsAllowed"] -= 1
        held["disruptedPods"] = {**(held.get("disruptedPods") or {}), target.name: times.to_wire(now)}
        if not held["disruptionsAllowed"]:
            for condition in held.get("conditions") or ():
                if condition.get("type") == "DisruptionAllowed" and condition.get("status") != "False":
                    condition |= {
                        "status": "False",
                        "reason": "InsufficientPods",
                        "message": "",
                        "lastTransitionTime": times.to_wire(now),
                    }
        return tree

    await updating.apply_change(registry, status, user, change, warnings, dry_run=wanted.dry_run)


def _check(budget: PodDisruptionBudget) -> None:
    status, name = budget.status, budget.metadata.name
    if (status.observed_generation or 0) < (budget.metadata.generation or 0):
        raise _being_processed(budget)
    allowed = status.disruptions_allowed or 0
    if allowed < 0:
        raise forbidden("policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative")
    if len(status.disrupted_pods) > _MOST_DISRUPTED:
        said = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise forbidden("policy", "poddisruptionbudget", name, said)
    if allowed == 0:
        held = next((c for c in status.conditions if c.type == "DisruptionAllowed"), None)
        if held is not None and held.status == "False" and held.reason == "SyncFailed":
            why = (
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync: "
                f"{held.message}"
            )
        else:
            why = (
                f"The disruption budget {name} needs {status.desired_healthy or 0} healthy pods and has "
                f"{status.current_healthy or 0} currently"
            )
        raise _refused(why, 0)


def _being_processed(budget: PodDisruptionBudget) -> StatusError:
    return _refused(
        f"The disruption budget {budget.metadata.name} is still being processed by the server.", _COME_AGAIN
    )


def _refused(why: str, retry_after: int) -> StatusError:
    refusal = too_many_requests(_REFUSED, retry_after)
    details = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    return StatusError(
        429, refusal.reason, _REFUSED, details=details | ({"retryAfterSeconds": retry_after} if retry_after else {})
    )


async def _delete(registry: Registry, target: Target, user: User, wanted: DeleteOptions, warnings: list[str]) -> None:
    """Say why, then delete. The revision that is asked for is the one before it was said."""
    pod = target._replace(subresource="")
    if wanted.dry_run:
        await deleting.delete(registry, pod, user, wanted, warnings)
        return
    marked = target._replace(subresource="status")
    said = await updating.apply_change(
        registry, marked, user, _disrupted(registry.clock.time(), wanted.revision), warnings, dry_run=False
    )
    if wanted.revision:
        wanted = replace(wanted, revision=str(said.revision))
    await deleting.delete(registry, pod, user, wanted, warnings)


def _disrupted(now: float, revision: str | None) -> Callable[[Encoded], dict[str, Any]]:
    """Return what notes on a Pod that it is evicted, so that whoever counts failures can tell."""

    def change(current: Encoded) -> dict[str, Any]:
        tree = tree_of(current)
        if revision:
            tree["metadata"]["resourceVersion"] = revision
        else:
            del tree["metadata"]["resourceVersion"]
        status = tree.setdefault("status", {})
        held = status.get("conditions") or ()
        before: dict[str, Any] = next((it for it in held if it.get("type") == "DisruptionTarget"), {})
        condition: dict[str, Any] = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": None,
            "lastTransitionTime": before.get("lastTransitionTime")
            if before.get("status") == "True"
            else times.to_wire(now),
        }
        if tree["metadata"].get("generation"):
            condition["observedGeneration"] = tree["metadata"]["generation"]
        status["conditions"] = [*(it for it in held if it is not before), condition]
        return tree

    return change
