"""IPAddresses: objects whose name is the address that they stand for, and that say for whom it is taken."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from podling.api.types.networking_v1 import ParentReference
from podling.api.validation import formats, meta
from podling.api.validation.addresses import parse
from podling.api.validation.field import SPEC, immutable, invalid_each, quoted, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.networking_v1 import IPAddress


@functools.lru_cache(maxsize=1024)
def canonical(text: str) -> formats.Complaints:
    """An address as it is written in one way alone, so that no two objects stand for one."""
    address = parse(text)
    if address is None:
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    return () if str(address) == text else (f"must be in canonical form ({quoted(str(address))})",)


def check_create(address: IPAddress, causes: list[Cause]) -> None:
    meta.check_create(address.metadata, causes, namespaced=False, name=canonical)
    parent, path = address.spec.parent_ref, SPEC / "parentRef"
    if parent == ParentReference(resource="", name=""):
        causes.append(required(path))
        return
    if parent.group:
        invalid_each(path / "group", parent.group, formats.dns_subdomain(parent.group), causes)
    for name, value, needed in (
        ("resource", parent.resource, True),
        ("name", parent.name, True),
        ("namespace", parent.namespace, False),
    ):
        if value:
            invalid_each(path / name, value, formats.path_segment(value), causes)
        elif needed:
            causes.append(required(path / name))


def check_update(new: IPAddress, old: IPAddress, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    immutable(SPEC / "parentRef", _shown(new.spec.parent_ref), _shown(old.spec.parent_ref), causes)


def _shown(parent: ParentReference) -> dict[str, str]:
    return {
        "Group": parent.group,
        "Resource": parent.resource,
        "Namespace": parent.namespace,
        "Name": parent.name,
    }
