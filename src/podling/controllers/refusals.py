"""Refusals that a controller expects: the world has moved on, and another event will say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.api.errors import StatusError


def namespace_is_going(refusal: StatusError) -> bool:
    """Whether a write failed because its namespace is being deleted, or is gone."""
    causes = (refusal.details or {}).get("causes") or ()
    return refusal.is_not_found or any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class Refused(Exception):
    """A refusal that was told where it belongs (an event, a condition): to be asked again later, and no defect."""

    is_passing = True
