"""Nodes and Namespaces: the two kinds that hold others.

Some paths say `metadata` where `spec` is meant: so upstream reports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import amounts, formats, meta
from podling.api.validation.addresses import check_cidr, dual_stack
from podling.api.validation.field import (
    METADATA,
    SPEC,
    STATUS,
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    required,
)
from podling.api.validation.tolerations import check_taints

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import ConfigMapNodeConfigSource, Namespace, Node, NodeConfigSource

_ONE_SOURCE = "exactly one reference subfield must be non-nil"


def check_node_create(node: Node, causes: list[Cause]) -> None:
    meta.check_create(node.metadata, causes, namespaced=False)
    if node.spec.taints:
        check_taints(node.spec.taints, METADATA / "taints", causes)
    _check_resources(node, causes)
    ranges, path = node.spec.pod_cidrs, SPEC / "podCIDRs"
    for i, text in enumerate(ranges):
        check_cidr(text, path[i], causes)
    if len(ranges) > 1:
        if not dual_stack(ranges) or len(ranges) > 2:
            causes.append(invalid(path, ranges, "may specify no more than one CIDR for each IP family"))
        causes.extend(duplicate(path[i], text) for i, text in enumerate(ranges) if text in ranges[:i])


def check_node_update(new: Node, old: Node, causes: list[Cause]) -> None:
    """Check a change of a Node or of its status: its ranges and its provider's id stay once set."""
    meta.check_update(new.metadata, old.metadata, causes)
    _check_resources(new, causes)
    seen = set()
    for i, address in enumerate(new.status.addresses):
        if address in seen:
            shown = {"Type": address.type, "Address": address.address}
            causes.append(duplicate((STATUS / "addresses")[i], shown))
        seen.add(address)
    if old.spec.pod_cidrs and new.spec.pod_cidrs != old.spec.pod_cidrs:
        causes.append(forbidden(SPEC / "podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if old.spec.provider_id and new.spec.provider_id != old.spec.provider_id:
        causes.append(forbidden(SPEC / "providerID", 'node updates may not change providerID except from "" to valid'))
    if new.spec.config_source is not None:
        _check_config(new.spec.config_source, SPEC / "configSource", causes, status=False)
    config = new.status.config
    if config is not None:
        for name, source in (
            ("assigned", config.assigned),
            ("active", config.active),
            ("lastKnownGood", config.last_known_good),
        ):
            if source is not None:
                _check_config(source, STATUS / "config" / name, causes, status=True)
    if new.spec.taints:
        check_taints(new.spec.taints, METADATA / "taints", causes)
    if new.spec.external_id != old.spec.external_id:
        causes.append(forbidden(SPEC / "externalID", "may not be updated"))


def _check_resources(node: Node, causes: list[Cause]) -> None:
    amounts.check_amounts(node.status.capacity, STATUS / "capacity", causes)
    amounts.check_amounts(node.status.allocatable, STATUS / "allocatable", causes)


def _check_config(source: NodeConfigSource, path: Path, causes: list[Cause], *, status: bool) -> None:
    if source.config_map is None:
        causes.append(invalid(path, {"ConfigMap": None}, _ONE_SOURCE))
        return
    reference, where = source.config_map, path / "configMap"
    for name, value in (("uid", reference.uid), ("resourceVersion", reference.resource_version)):
        if status and not value:
            causes.append(required(where / name, f"{name} must be set in status"))
        elif value and not status:
            causes.append(forbidden(where / name, f"{name} must not be set in spec"))
    _check_config_map(reference, where, causes)


def _check_config_map(reference: ConfigMapNodeConfigSource, path: Path, causes: list[Cause]) -> None:
    for name, value, form in (
        ("namespace", reference.namespace, formats.dns_label),
        ("name", reference.name, formats.dns_subdomain),
        ("kubeletConfigKey", reference.kubelet_config_key, formats.config_key),
    ):
        if not value:
            causes.append(required(path / name, f"{name} must be set"))
        else:
            invalid_each(path / name, value, form(value), causes)


def check_namespace_create(namespace: Namespace, causes: list[Cause]) -> None:
    meta.check_create(namespace.metadata, causes, namespaced=False, name=formats.dns_label)
    _check_finalizers(namespace, SPEC / "finalizers", causes, indexed=False)


def check_namespace_update(new: Namespace, old: Namespace, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)


def check_namespace_status_update(new: Namespace, old: Namespace, causes: list[Cause]) -> None:
    """Check that the phase says whether the namespace is going."""
    meta.check_update(new.metadata, old.metadata, causes)
    going = new.metadata.deletion_timestamp is not None
    phase = "Terminating" if going else "Active"
    if new.status.phase != phase:
        said = f"may only be '{phase}' if `deletionTimestamp` is {'not ' if going else ''}empty"
        causes.append(invalid(STATUS / "Phase", new.status.phase, said))


def check_namespace_finalize(new: Namespace, old: Namespace, causes: list[Cause]) -> None:
    """Check a change through the subresource `finalize`."""
    meta.check_update(new.metadata, old.metadata, causes)
    _check_finalizers(new, SPEC / "finalizers", causes, indexed=True)


def _check_finalizers(namespace: Namespace, path: Path, causes: list[Cause], *, indexed: bool) -> None:
    for i, finalizer in enumerate(namespace.spec.finalizers):
        where = path[i] if indexed else path
        invalid_each(where, finalizer, formats.qualified_name(finalizer), causes)
        meta.check_finalizer_known(finalizer, where, causes)
