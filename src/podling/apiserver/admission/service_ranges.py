"""ServiceRanges: what ranges Services have is shown through the API, and cannot be changed by it.

Podling's own rule. A range is the machine's too: nodes answer for its addresses, and the other instances on the machine
keep out of it. Both are settled before the API server starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.errors import forbidden
from podling.api.resources import SERVICE_CIDRS

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.record import User

_WHY = "the ranges of Services are chosen when a cluster first starts, and cannot be changed through the API"


class ServiceRanges:
    """Refuses every write of a ServiceCIDR that says another range, but the server's own; notes on it are anybody's."""

    def __init__(self, system: User) -> None:
        """`system` is as whom the server itself writes."""
        self._system = system

    def admit(self, operation: Operation) -> None:
        resource = operation.record.resource
        if resource is SERVICE_CIDRS and operation.context.user != self._system and not _is_a_note(operation):
            raise forbidden(resource.group, resource.plural, operation.name, _WHY)


def _is_a_note(operation: Operation) -> bool:
    """Whether labels, annotations and their like are all that a write changes."""
    new, old = operation.tree, operation.old
    return (
        operation.verb == "UPDATE" and old is not None and all(new.get(it) == old.get(it) for it in ("spec", "status"))
    )
