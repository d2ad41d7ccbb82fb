"""RuntimeClass: a Pod takes over the overhead and the node constraints of the class that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.errors import forbidden
from podling.api.resources import RUNTIME_CLASSES

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_MISMATCH = "Pod's Overhead doesn't match RuntimeClass's defined Overhead"
_ORPHAN = "Pod Overhead set without corresponding RuntimeClass defined Overhead"


class RuntimeClass:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        if operation.verb != "CREATE" or not operation.is_on("", "pods"):
            return
        spec = operation.tree["spec"]
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise forbidden("", "pods", operation.name, f"pod rejected: {_ORPHAN}")
            return
        found = self._registry.find(RUNTIME_CLASSES, "", name)
        if found is None:
            raise forbidden("", "pods", operation.name, f'pod rejected: RuntimeClass "{name}" not found')
        tree: dict[str, Any] = msgspec.json.decode(found.raw)
        self._set_overhead(operation, spec, (tree.get("overhead") or {}).get("podFixed") or {})
        self._set_scheduling(operation, spec, tree.get("scheduling") or {})

    def judge(self, operation: Operation) -> None:
        """Refuse a Pod whose overhead is no longer its class's: rules that came later may have changed it."""
        if operation.verb != "CREATE" or not operation.is_on("", "pods"):
            return
        spec = operation.tree["spec"]
        found = self._registry.find(RUNTIME_CLASSES, "", spec.get("runtimeClassName") or "")
        tree: dict[str, Any] = msgspec.json.decode(found.raw) if found is not None else {}
        wanted = (tree.get("overhead") or {}).get("podFixed") or {}
        if found is not None and (spec.get("overhead") or {}) != wanted:
            raise forbidden("", "pods", operation.name, f"pod rejected: {_MISMATCH}")
        if found is None and spec.get("overhead"):
            raise forbidden("", "pods", operation.name, f"pod rejected: {_ORPHAN}")

    def _set_overhead(self, operation: Operation, spec: dict[str, Any], overhead: dict[str, str]) -> None:
        given = spec.get("overhead")
        if given and given != overhead:
            raise forbidden("", "pods", operation.name, f"pod rejected: {_MISMATCH}")
        if overhead:
            spec["overhead"] = overhead

    def _set_scheduling(self, operation: Operation, spec: dict[str, Any], scheduling: dict[str, Any]) -> None:
        wanted = scheduling.get("nodeSelector") or {}
        if wanted:
            selector = spec.setdefault("nodeSelector", {})
            for key, value in wanted.items():
                if selector.setdefault(key, value) != value:
                    why = (
                        f"pod rejected: conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                        f"pod.spec.nodeSelector[{key}] = {selector[key]}"
                    )
                    raise forbidden("", "pods", operation.name, why)
        tolerations = spec.get("tolerations") or []
        more = [it for it in scheduling.get("tolerations") or () if it not in tolerations]
        if more:
            spec["tolerations"] = [*tolerations, *more]
