"""What a kind of object must say of itself to be counted, and the plain way: one object counts as one.

Invariant: names come out in order, so that refusals read the same each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from podling.quota.amounts import ONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.resources import Resource
    from podling.api.types.core_v1 import ScopedResourceSelectorRequirement
    from podling.quota.amounts import Amounts

_ALIASES = (
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
)
"""Core kinds whose plain names were counted before there were names for all."""


class Evaluator(Protocol):
    """How objects of one resource are counted. Objects come as typed views."""

    resource: Resource[Any]

    def handles(self, verb: str, subresource: str) -> bool:
        """Whether a write can make usage grow."""
        ...

    def matching(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that this kind is charged for."""
        ...

    def missing(self, required: Iterable[str], obj: Any) -> str:
        """Say what an object has to name because it is charged for; empty where nothing is missing."""
        ...

    def in_scope(self, scope: ScopedResourceSelectorRequirement, obj: Any) -> bool: ...

    def usage(self, obj: Any, now: float) -> Amounts: ...

    def counts_until(self, obj: Any) -> float | None:
        """Return the time from which on an object counts less though nobody changes it; None: there is none."""
        ...


def count_name(resource: Resource[Any]) -> str:
    """Return the name by which objects of any kind are counted: `count/deployments.apps`."""
    return f"count/{resource.plural}.{resource.group}" if resource.group else f"count/{resource.plural}"


class Counted:
    """One object counts as one, by the general name and, for some core kinds, by their own."""

    def __init__(self, resource: Resource[Any]) -> None:
        self.resource = resource
        alias = (resource.plural,) if not resource.group and resource.plural in _ALIASES else ()
        self._usage = dict.fromkeys((count_name(resource), *alias), ONE)

    def handles(self, verb: str, subresource: str) -> bool:
        return verb == "CREATE" and not subresource

    def matching(self, names: Iterable[str]) -> list[str]:
        return sorted(set(names) & self._usage.keys())

    def missing(self, required: Iterable[str], obj: Any) -> str:  # noqa: ARG002
        return ""

    def in_scope(self, scope: ScopedResourceSelectorRequirement, obj: Any) -> bool:  # noqa: ARG002
        return False

    def usage(self, obj: Any, now: float) -> Amounts:  # noqa: ARG002
        return dict(self._usage)

    def counts_until(self, obj: Any) -> float | None:  # noqa: ARG002
        return None
