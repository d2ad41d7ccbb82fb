"""The call graph as people read it: a table, and a drawing for Graphviz.

Owns the two forms, pure. Both take `Call` objects and keep their order; what is missing from the books is said under a
table. Names come from the cluster's objects and are quoted where a form gives characters a meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.durations import human_duration
from podling.api.parties import party_name
from podling.api.times import from_wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.types.insight_v1alpha1 import Call

_HEADINGS = (
    "CALLER",
    "CALLEE",
    "SERVICE",
    "PORT",
    "CALLS",
    "REFUSED",
    "UNANSWERED",
    "BLOCKED",
    "SENT",
    "RECEIVED",
    "LAST",
)


def table(calls: Iterable[Call], missing: Mapping[str, int], now: float) -> str:
    """Return a line for each edge, most called first, and below it what the books lack."""
    rows = sorted((_row(call, now) for call in calls), key=lambda row: (-int(row[4]), row))
    lines = _aligned([_HEADINGS, *rows]) if rows else ["No calls have been seen."]
    if missing.get("overruns"):
        times = missing["overruns"]
        lines.append(f"The kernel dropped events {times} times: calls that were over by then are missing.")
    if missing.get("forgotten"):
        count = missing["forgotten"]
        lines.append(f"{count} edges that were not seen for longest were forgotten: there were too many.")
    return "\n".join(lines) + "\n"


def graphviz(calls: Iterable[Call]) -> str:
    """Return the graph in the DOT language: an edge for each `Call`, red where some failed."""
    lines = ["digraph calls {", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    for call in calls:
        seen = call.observed
        count = (seen.calls or 0) if seen is not None else 0
        blocked = (seen.blocked or 0) if seen is not None else 0
        words = [f"{call.port}/{call.protocol}", f"{count} calls"]
        if call.service:
            words.insert(0, call.service)
        if blocked:
            words.append(f"{blocked} blocked")
        failed = blocked or (seen is not None and ((seen.refused or 0) + (seen.unanswered or 0)))
        attributes = [f"label={_quoted(chr(10).join(words))}", f"penwidth={1 + len(str(count)) / 2:g}"]
        if failed:
            attributes.append("color=red")
        if not count:
            attributes.append("style=dashed")
        ends = f"{_quoted(party_name(call.caller))} -> {_quoted(party_name(call.callee))}"
        lines.append(f"  {ends} [{', '.join(attributes)}];")
    return "\n".join([*lines, "}"]) + "\n"


def _row(call: Call, now: float) -> tuple[str, ...]:
    seen = call.observed
    numbers = (
        (seen.calls, seen.refused, seen.unanswered, seen.blocked, seen.bytes_sent, seen.bytes_received)
        if seen is not None
        else (0,) * 6
    )
    last = human_duration(now - from_wire(seen.last_seen)) if seen is not None and seen.last_seen else ""
    ends = (party_name(call.caller), party_name(call.callee), call.service or "-", f"{call.port}/{call.protocol}")
    return (*ends, *(str(number or 0) for number in numbers), last)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
