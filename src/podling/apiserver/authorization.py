"""Who may what, from this server's own cache: the Node authorizer and RBAC, kept current change by change.

Owns the wiring between the cache and `identity`; the rules stand there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api import resources as r
from podling.apiserver.cache import Scope
from podling.apiserver.identity.nodes import NodeAuthorizer, Union
from podling.apiserver.identity.rbac import Rbac, refuse_escalation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.cache import Notice
    from podling.apiserver.record import Attributes, Decision
    from podling.apiserver.registry import Registry


class Authorization:
    """The authorizers of a cluster, and the admission rule that keeps rights from growing by themselves."""

    def __init__(self, registry: Registry) -> None:
        self.rbac = Rbac()
        self._registry = registry
        self._union = Union(NodeAuthorizer(_Bound(registry)), self.rbac)
        for resource in Rbac.RESOURCES:
            registry.cache.listen(registry.record(resource).key_prefix, _Follower(self.rbac, resource))

    def authorize(self, attributes: Attributes) -> Decision:
        return self._union.authorize(attributes)

    def admit(self, operation: Operation) -> None:
        """Refuse roles and bindings that hand out more than their writer has."""
        resource = operation.record.resource
        if operation.verb != "DELETE" and resource in Rbac.RESOURCES:
            user = operation.context.user
            refuse_escalation(self.rbac, self._union, user, resource, operation.tree, operation.old)


class _Follower:
    """Tells RBAC of the changes of one kind."""

    def __init__(self, rbac: Rbac, resource: Resource[Any]) -> None:
        self._rbac = rbac
        self._resource = resource

    def __call__(self, notice: Notice) -> None:
        shown = notice.new or notice.old
        assert shown is not None
        self._rbac.observe(self._resource, shown.namespace, shown.name, notice.new)


class _Bound:
    """What the Node authorizer looks up."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def pods_on(self, node: str) -> Iterable[Encoded]:
        return self._registry.shelf(self._registry.record(r.PODS)).select(Scope(indexed=node))

    def pod(self, namespace: str, name: str) -> Encoded | None:
        return self._registry.find(r.PODS, namespace, name)

    def volume_of(self, namespace: str, claim: str) -> str:
        found = self._registry.find(r.PERSISTENT_VOLUME_CLAIMS, namespace, claim)
        return found.view(r.PERSISTENT_VOLUME_CLAIMS.type).spec.volume_name if found is not None else ""
