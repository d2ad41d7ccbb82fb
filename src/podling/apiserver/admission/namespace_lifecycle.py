"""NamespaceLifecycle: nothing is made in a namespace that is not there or is going; three namespaces never go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.errors import Cause, StatusError, forbidden, not_found
from podling.api.resources import NAMESPACES

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        if operation.verb == "DELETE":
            if operation.is_on("", "namespaces") and operation.name in _IMMORTAL:
                raise forbidden("", "namespaces", operation.name, "this namespace may not be deleted")
            return
        if operation.verb != "CREATE" or not operation.namespace:
            return
        namespace = self._registry.find(NAMESPACES, "", operation.namespace)
        if namespace is None:
            raise not_found("", "namespaces", operation.namespace)
        if namespace.fields.get("status.phase") == "Terminating":
            raise _terminating(operation)


def _terminating(operation: Operation) -> StatusError:
    resource, namespace = operation.record.resource, operation.namespace
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = forbidden(resource.group, resource.plural, operation.name, why)
    cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
    details = error.details or {}
    details["causes"] = [{"reason": cause.reason, "message": cause.message, "field": cause.field}]
    error.details = details
    return error
