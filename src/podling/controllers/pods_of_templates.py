"""The Pod that a workload makes from its template. Pure.

Owns what such a Pod has of its maker: the template's labels, annotations and finalizers, a name that begins with the
maker's, and the reference by which it is found and collected again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.names import is_dns1123_subdomain
from podling.api.types.core_v1 import Pod
from podling.api.types.meta_v1 import ObjectMeta, OwnerReference

if TYPE_CHECKING:
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import PodTemplateSpec


def controller_reference(kind: Resource[Any], owner: Any) -> OwnerReference:
    """Return the reference by which `owner`, an object of `kind`, controls what it makes and waits for it to go."""
    return OwnerReference(
        api_version=kind.api_version,
        kind=kind.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def pod_of(template: PodTemplateSpec, kind: Resource[Any], owner: Any, *, name: str = "") -> Pod:
    """Return the Pod that `owner` makes; without `name`, the server completes one that begins with the owner's."""
    assert template.spec is not None, "validation lets no template without a specification pass"
    given = template.metadata
    return Pod(
        metadata=ObjectMeta(
            name=name,
            generate_name="" if name else name_prefix(owner.metadata.name),
            namespace=owner.metadata.namespace,
            labels=dict(given.labels),
            annotations=dict(given.annotations),
            finalizers=given.finalizers,
            owner_references=(controller_reference(kind, owner),),
        ),
        spec=template.spec,
    )


def name_prefix(name: str) -> str:
    """Return what the names of an owner's Pods begin with: no dash where that would make no name of a Pod."""
    prefix = f"{name}-"
    return name if is_dns1123_subdomain(prefix[:-1] + "a") else prefix
