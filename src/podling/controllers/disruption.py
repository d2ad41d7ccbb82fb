"""Keeps the status of PodDisruptionBudgets, by which evictions are granted, and clears what no eviction followed.

Level: budgets and Pods as they are seen. A Pod that was said to be disrupted and is not deleted within two minutes is
said not to be: who wanted it gone has given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.pods import is_active
from podling.api.resources import POD_DISRUPTION_BUDGETS, PODS
from podling.api.times import from_wire, to_wire
from podling.client.cache import key_of, split_key
from podling.controllers.disruption_budget import failed, plan, selector_of
from podling.controllers.disruption_scales import Scales
from podling.lifecycle.disruption import DISRUPTION_TARGET, condition

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod
    from podling.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus
    from podling.client.informer import Informer
    from podling.controllers.context import Context

STALE_AFTER: Final = 120.0
_BY_KUBELET: Final = "TerminationByKubelet"
_UNMANAGED: Final = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of "
    "the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
    'set ".spec.minAvailable" field of the PDB to an integer value.'
)
_BUDGET, _POD = "budget", "pod"

Key = tuple[str, str]


def stale_in(pod: Pod, now: float) -> float | None:
    """Return the seconds until a Pod's DisruptionTarget is stale; `None` where it has none that could be."""
    held = condition(pod, DISRUPTION_TARGET)
    if held is None or held.status != "True" or held.reason == _BY_KUBELET:
        return None
    if not is_active(pod):
        return None
    return max(from_wire(held.last_transition_time) + STALE_AFTER - now, 0.0) if held.last_transition_time else 0.0


class Disruption:
    """Keys are budgets, and Pods that are said to be disrupted."""

    account = "disruption-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._budgets: Informer[PodDisruptionBudget] = context.informers.of(POD_DISRUPTION_BUDGETS)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._scales = Scales(context.informers)
        self._recorder = context.recorder("controllermanager")
        self._queue: WorkQueue[Key] = WorkQueue(context.clock)

    def start(self) -> None:
        self._budgets.on_change(self._on_budget)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers("disruption", self._queue, self._sync)

    def _on_budget(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None:
            self._queue.add((_BUDGET, key_of(new)))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None and b'"DisruptionTarget"' in new.raw:
            self._queue.add((_POD, key_of(new)))
        if not len(self._budgets):
            return
        for seen in (old, new):
            if seen is not None:
                for budget in self._budgets.indexed("namespace", seen.namespace):
                    if selector_of(self._budgets.view(budget)).matches(seen.labels):
                        self._queue.add((_BUDGET, key_of(budget)))

    async def _sync(self, key: Key) -> None:
        await self._pods.wait_synced()
        await self._scales.wait_synced()
        kind, (namespace, name) = key[0], split_key(key[1])
        if kind == _POD:
            pod = self._pods.get(name, namespace)
            if pod is not None:
                await self._refresh(pod, key)
            return
        budget = self._budgets.get(name, namespace)
        if budget is not None:
            await self._reckon(budget, key)

    async def _reckon(self, budget: PodDisruptionBudget, key: Key) -> None:
        selector = selector_of(budget)
        seen = self._pods.indexed("namespace", budget.metadata.namespace)
        pods = [self._pods.view(pod) for pod in seen if selector.matches(pod.labels)]
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        now = self._clock.time()
        try:
            found = plan(budget, pods, now, self._scales.of(pods))
        except ValueError as why:
            said = f"Failed to calculate the number of expected pods: {why}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", said)
            status = failed(budget, str(why), now)
            await self._write(budget, status if status != budget.status else None)
            return
        if found.unmanaged:
            self._recorder.event(budget, "Warning", "UnmanagedPods", _UNMANAGED.format(selector))
        namespace = budget.metadata.namespace
        for pod in found.not_deleted:
            # Upstream names the namespace twice, where the budget's name was meant.
            said = f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"
            self._recorder.event(pod, "Warning", "NotDeleted", said)
        await self._write(budget, found.status)
        if found.again_in is not None:
            self._queue.add_after(key, found.again_in)

    async def _write(self, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus | None) -> None:
        if status is None:
            return
        try:
            await self._client.update_status(POD_DISRUPTION_BUDGETS, msgspec.structs.replace(budget, status=status))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise

    async def _refresh(self, pod: Pod, key: Key) -> None:
        """Say of a Pod that was not deleted after all that it is no target any more."""
        wait = stale_in(pod, self._clock.time())
        if wait is None:
            return
        if wait:
            self._queue.add_after(key, wait)
            return
        told = {
            "type": DISRUPTION_TARGET,
            "status": "False",
            "reason": None,
            "message": None,
            "lastTransitionTime": to_wire(self._clock.time()),
        }
        patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [told]}}
        name, namespace = pod.metadata.name, pod.metadata.namespace
        try:
            await self._client.patch(PODS, name, patch, namespace=namespace, kind="strategic", subresource="status")
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
