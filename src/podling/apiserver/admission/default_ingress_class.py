"""DefaultIngressClass: an Ingress that names no class gets the default one, if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.annotations import DEFAULT_INGRESS_CLASS
from podling.api.resources import INGRESS_CLASSES
from podling.api.validation.ingress import CLASS_ANNOTATION
from podling.apiserver.admission.default_class import default_class

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry


class DefaultIngressClass:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        if operation.verb != "CREATE" or not operation.is_on("networking.k8s.io", "ingresses"):
            return
        spec = operation.tree.setdefault("spec", {})
        if spec.get("ingressClassName") is not None:
            return
        if CLASS_ANNOTATION in (operation.tree["metadata"].get("annotations") or {}):
            return
        chosen = default_class(self._registry, INGRESS_CLASSES, (DEFAULT_INGRESS_CLASS,))
        if chosen:
            spec["ingressClassName"] = chosen
