"""Pods: what their strategy adds on create, update, status writes and graceful deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.apiserver.kinds.strategy import Plain, keep

if TYPE_CHECKING:
    from podling.apiserver.record import Context


class PodStrategy(Plain):
    """A Pod begins as Pending, with its QoS class decided; its status is the kubelet's."""

    def __init__(self) -> None:
        super().__init__(status=True, generation=True)

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        from podling.api.resources import PODS
        from podling.api.validation.shape import typed
        from podling.lifecycle.qos import qos_class

        super().prepare_create(tree, context)
        status: dict[str, Any] = {"phase": "Pending", "qosClass": str(qos_class(typed(PODS.type, tree)))}
        if tree["spec"].get("schedulingGates"):
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                    "lastProbeTime": None,
                    "lastTransitionTime": None,
                    "observedGeneration": 1,
                }
            ]
        tree["status"] = status

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        super().prepare_subresource(subresource, tree, old, context)
        status = tree.setdefault("status", {})
        if not status.get("qosClass"):
            keep(status, old.get("status", {}), "qosClass")

    def grace(self, tree: dict[str, Any], requested: int | None) -> int | None:
        """Return the wish of the caller, else of the Pod; nobody waits for a Pod that no node runs."""
        spec, phase = tree.get("spec", {}), tree.get("status", {}).get("phase")
        seconds = requested if requested is not None else spec.get("terminationGracePeriodSeconds") or 0
        if not spec.get("nodeName") or phase in {"Succeeded", "Failed"}:
            return 0
        return 1 if seconds < 0 else seconds
