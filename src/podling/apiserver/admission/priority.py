"""Priority: a Pod's priority and preemption policy follow from its PriorityClass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.errors import forbidden
from podling.api.resources import PRIORITY_CLASSES
from podling.apiserver.cache import Scope

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_PREEMPT = "PreemptLowerPriority"


class Priority:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        if operation.is_on("", "pods"):
            if operation.verb == "CREATE":
                self._decide(operation)
            elif operation.verb == "UPDATE" and operation.old is not None:
                _keep(operation.tree["spec"], operation.old["spec"])
        elif operation.is_on("scheduling.k8s.io", "priorityclasses") and operation.verb != "DELETE":
            self._check_default(operation)

    def _decide(self, operation: Operation) -> None:
        spec = operation.tree["spec"]
        name = spec.get("priorityClassName", "")
        value, policy = 0, _PREEMPT
        if name:
            found = self._registry.find(PRIORITY_CLASSES, "", name)
            if found is None:
                raise forbidden("", "pods", operation.name, f"no PriorityClass with name {name} was found")
            tree = msgspec.json.decode(found.raw)
        else:
            tree = self._default()
        if tree is not None:
            value, policy = tree.get("value", 0), tree.get("preemptionPolicy") or _PREEMPT
            if not name:
                spec["priorityClassName"] = tree["metadata"]["name"]
        if spec.get("priority", value) != value:
            why = (
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority "
                f"admission controller computed {value} from the given PriorityClass name"
            )
            raise forbidden("", "pods", operation.name, why)
        if (spec.get("preemptionPolicy") or policy) != policy:
            why = (
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name"
            )
            raise forbidden("", "pods", operation.name, why)
        spec["priority"] = value
        spec["preemptionPolicy"] = policy

    def _default(self) -> dict[str, Any] | None:
        """Return the class that is marked as the default; of several the one of the lowest value, as upstream."""
        shelf = self._registry.shelf(self._registry.record(PRIORITY_CLASSES))
        found: dict[str, Any] | None = None
        for encoded in shelf.select(Scope()):
            if b'"globalDefault":true' in encoded.raw:
                tree: dict[str, Any] = msgspec.json.decode(encoded.raw)
                if tree.get("globalDefault") and (found is None or tree.get("value", 0) < found.get("value", 0)):
                    found = tree
        return found

    def _check_default(self, operation: Operation) -> None:
        if not operation.tree.get("globalDefault"):
            return
        default = self._default()
        if default is not None and default["metadata"]["name"] != operation.name:
            why = (
                f"PriorityClass {default['metadata']['name']} is already marked as default. Only one default can exist"
            )
            raise forbidden("scheduling.k8s.io", "priorityclasses", operation.name, why)


def _keep(spec: dict[str, Any], old: dict[str, Any]) -> None:
    """Fill in what a caller who never saw the decision left out."""
    for key in ("priority", "preemptionPolicy"):
        if spec.get(key) is None and old.get(key) is not None:
            spec[key] = old[key]
