"""TaintNodesByCondition: no Pod is placed on a new Node before the node lifecycle controller has seen it ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation

_TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition:
    """Upstream's plugin of that name."""

    def admit(self, operation: Operation) -> None:
        if operation.verb != "CREATE" or not operation.is_on("", "nodes"):
            return
        spec = operation.tree.setdefault("spec", {})
        taints = spec.get("taints") or []
        if all((it.get("key"), it.get("effect")) != (_TAINT["key"], _TAINT["effect"]) for it in taints):
            spec["taints"] = [*taints, dict(_TAINT)]
