"""An edge and its tally as a `Call`, and back.

Owns the mapping and the name: made from the edge, so that whoever writes it first, it is the same object. Pure.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from podling.api.times import from_wire, to_wire_micro
from podling.api.types import insight_v1alpha1 as wire
from podling.api.types.meta_v1 import ObjectMeta
from podling.insight.directory import Edge, Party
from podling.insight.ledger import Tally

if TYPE_CHECKING:
    from podling.api.types.insight_v1alpha1 import Call


def call_name(edge: Edge) -> str:
    """Return the name of an edge's `Call`: its caller, and what tells it from the caller's others."""
    parts = (edge.caller, edge.callee, edge.service, edge.port, edge.protocol)
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:10]
    head = edge.caller.name or edge.caller.kind.lower()
    return f"{head[:200].rstrip('-.')}-{digest}"


def observed_tree(tally: Tally) -> dict[str, Any]:
    """Return a tally as it stands in its `Call`."""
    tree: dict[str, Any] = {
        "calls": tally.calls,
        "refused": tally.refused,
        "unanswered": tally.unanswered,
        "blocked": tally.blocked,
        "bytesSent": tally.sent,
        "bytesReceived": tally.received,
        "firstSeen": to_wire_micro(tally.first),
        "lastSeen": to_wire_micro(tally.last),
    }
    if tally.blocked_by:
        tree["blockedBy"] = tally.blocked_by
    return tree


def to_call(edge: Edge, tally: Tally) -> Call:
    """Return the whole object."""
    seen = wire.Observed(
        calls=tally.calls,
        refused=tally.refused,
        unanswered=tally.unanswered,
        blocked=tally.blocked,
        blocked_by=tally.blocked_by,
        bytes_sent=tally.sent,
        bytes_received=tally.received,
        first_seen=to_wire_micro(tally.first),
        last_seen=to_wire_micro(tally.last),
    )
    return wire.Call(
        metadata=ObjectMeta(name=call_name(edge), namespace=edge.namespace),
        caller=_wire(edge.caller),
        callee=_wire(edge.callee),
        service=edge.service,
        port=edge.port,
        protocol=edge.protocol,
        observed=seen,
    )


def from_call(call: Call) -> tuple[Edge, Tally]:
    """Return what a `Call` says; `ValueError` where its times are none."""
    edge = Edge(_party(call.caller), _party(call.callee), call.service, call.port, call.protocol)
    seen = call.observed or wire.Observed()
    tally = Tally(
        calls=seen.calls or 0,
        refused=seen.refused or 0,
        unanswered=seen.unanswered or 0,
        blocked=seen.blocked or 0,
        blocked_by=seen.blocked_by,
        sent=seen.bytes_sent or 0,
        received=seen.bytes_received or 0,
        first=from_wire(seen.first_seen) if seen.first_seen else 0.0,
        last=from_wire(seen.last_seen) if seen.last_seen else 0.0,
    )
    return edge, tally


def _wire(party: Party) -> wire.Party:
    return wire.Party(kind=party.kind, namespace=party.namespace, name=party.name, uid=party.uid)


def _party(party: wire.Party) -> Party:
    return Party(party.kind, party.namespace, party.name, party.uid)
