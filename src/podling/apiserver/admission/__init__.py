"""Admission: small rules, in upstream's order, that change or refuse a write before it is validated.

Owns the order: `chain` is what may change a write before it is validated, `verdicts` what only judges it afterwards.
Each rule has a module; none knows of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.apiserver.admission.certificates import Certificates
from podling.apiserver.admission.default_ingress_class import DefaultIngressClass
from podling.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from podling.apiserver.admission.limit_ranger import LimitRanger
from podling.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from podling.apiserver.admission.node_restriction import NodeRestriction
from podling.apiserver.admission.operation import Operation
from podling.apiserver.admission.pod_security import PodSecurity
from podling.apiserver.admission.priority import Priority
from podling.apiserver.admission.resource_quota import ResourceQuota
from podling.apiserver.admission.runtime_class import RuntimeClass
from podling.apiserver.admission.service_account import ServiceAccount
from podling.apiserver.admission.storage_classes import DefaultStorageClass, PersistentVolumeClaimResize
from podling.apiserver.admission.storage_in_use import StorageObjectInUseProtection
from podling.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.apiserver.record import Authorizer
    from podling.apiserver.registry import Registry

__all__ = ["Operation", "chain", "verdicts"]


def chain(registry: Registry) -> tuple[Callable[[Operation], None], ...]:
    """Return the rules in the order in which a write passes them."""
    return (
        NamespaceLifecycle(registry).admit,
        LimitRanger(registry).admit,
        ServiceAccount(registry).admit,
        NodeRestriction(registry).admit,
        TaintNodesByCondition().admit,
        Priority(registry).admit,
        DefaultTolerationSeconds().admit,
        StorageObjectInUseProtection().admit,
        RuntimeClass(registry).admit,
        DefaultStorageClass(registry).admit,
        DefaultIngressClass(registry).admit,
    )


def verdicts(registry: Registry, authorizer: Authorizer) -> tuple[Callable[[Operation], None], ...]:
    """Return the rules that judge a write as it would be stored."""
    return (
        LimitRanger(registry).judge,
        RuntimeClass(registry).judge,
        PersistentVolumeClaimResize(registry).judge,
        PodSecurity(registry).judge,
        Certificates(authorizer).judge,
        ResourceQuota(registry).judge,
    )
