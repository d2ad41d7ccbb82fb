"""Owns how observed calls are shown in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.parties import party_name
from podling.apiserver.tables.columns import NAME, NONE, UNKNOWN, Column, Layout, age

if TYPE_CHECKING:
    from podling.api.types.insight_v1alpha1 import Call


def _call(call: Call, now: float) -> list[Any]:
    seen = call.observed
    counted = (seen.calls, seen.refused, seen.unanswered, seen.blocked) if seen is not None else (0, 0, 0, 0)
    return [
        call.metadata.name,
        party_name(call.caller),
        party_name(call.callee),
        call.service or NONE,
        f"{call.port}/{call.protocol}",
        *(number or 0 for number in counted),
        age(seen.last_seen, now) if seen is not None and seen.last_seen else UNKNOWN,
        (seen.bytes_sent or 0) if seen is not None else 0,
        (seen.bytes_received or 0) if seen is not None else 0,
        (seen.blocked_by if seen is not None else "") or NONE,
    ]


CALLS: Final = Layout(
    (
        NAME,
        Column("Caller", "Who called."),
        Column("Callee", "Who was called: behind a Service, who answered for it."),
        Column("Service", "The Service that was called."),
        Column("Port", "The port that was called."),
        Column("Calls", "How often.", type="integer"),
        Column("Refused", "How many of the calls were refused.", type="integer"),
        Column("Unanswered", "How many of the calls nothing came back for.", type="integer"),
        Column("Blocked", "How many attempts a NetworkPolicy stopped.", type="integer"),
        Column("Last", "How long ago the last was seen."),
        Column("Sent", "Bytes from the caller, of flows that have ended.", 1, "integer"),
        Column("Received", "Bytes to the caller, of flows that have ended.", 1, "integer"),
        Column("Blocked-By", "The policy that stopped the last attempt.", 1),
    ),
    _call,
)
