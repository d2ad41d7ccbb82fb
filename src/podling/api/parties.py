"""How the ends of a call are named to people: once, for tables and drawings alike. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.api.types.insight_v1alpha1 import Party


def party_name(party: Party) -> str:
    """Return NAMESPACE/POD, node/NAME, <outside> or <nobody>."""
    match party.kind:
        case "Pod":
            return f"{party.namespace}/{party.name}"
        case "Node":
            return f"node/{party.name}"
        case kind:
            return f"<{kind.lower()}>"
