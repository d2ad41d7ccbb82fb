"""Which names a definition gets, and what its status says of that. Pure.

    created ─▶ NamesAccepted (or a conflict, until the other definition goes) ─▶ Established, for good

Names are those of one group; who came first has them. Owns the words of the conditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.times import to_wire
from podling.api.validation.field import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

_Tree = dict[str, Any]

ESTABLISHED: Final = "Established"
TERMINATING: Final = "Terminating"
NAMES_ACCEPTED: Final = "NamesAccepted"


def plan(definition: _Tree, others: Sequence[_Tree], now: float) -> _Tree | None:
    """Return the status that a definition is to have; `None` where it has it. `others` are those of its group."""
    before: _Tree = definition.get("status") or {}
    wanted = definition["spec"]["names"]
    held = before.get("acceptedNames") or {}
    names, reason, message = _accepted(wanted, held, others)
    status = {**before, "acceptedNames": names}
    conflict = bool(reason)
    set_condition(
        status,
        NAMES_ACCEPTED,
        "False" if conflict else "True",
        reason or "NoConflicts",
        message or "no conflicts found",
        now,
    )
    if not is_true(before, ESTABLISHED):
        if conflict:
            set_condition(status, ESTABLISHED, "False", "NotAccepted", "not all names are accepted", now)
        else:
            said = "the initial names have been accepted"
            set_condition(status, ESTABLISHED, "True", "InitialNamesAccepted", said, now)
    return None if status == before else status


def _accepted(wanted: _Tree, held: _Tree, others: Sequence[_Tree]) -> tuple[_Tree, str, str]:
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        taken = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {taken.get("plural", ""), taken.get("singular", ""), *taken.get("shortNames", ())}
        kinds |= {taken.get("kind", ""), taken.get("listKind", "")}
    names: _Tree = {"plural": "", "kind": ""} | held
    reason = message = ""
    for field, used, word in (
        ("plural", resources, "PluralConflict"),
        ("singular", resources, "SingularConflict"),
        ("kind", kinds, "KindConflict"),
        ("listKind", kinds, "ListKindConflict"),
    ):
        name = wanted.get(field, "")
        if name != held.get(field) and name in used:
            reason, message = word, f"{quoted(name)} is already in use"
        else:
            names[field] = name
    clashing = [name for name in wanted.get("shortNames", ()) if name in resources]
    if clashing:
        said = [f"{quoted(name)} is already in use" for name in clashing]
        reason, message = "ShortNamesConflict", said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    for field in ("shortNames", "categories"):
        if field == "shortNames" and clashing:
            continue
        if wanted.get(field):
            names[field] = wanted[field]
        else:
            names.pop(field, None)
    return names, reason, message


def is_true(status: _Tree, kind: str) -> bool:
    """Whether a status has a condition, and it is true."""
    return any(it.get("type") == kind and it.get("status") == "True" for it in status.get("conditions") or ())


def set_condition(status: _Tree, kind: str, value: str, reason: str, message: str, now: float | str) -> None:
    """Let a status have a condition; its time is kept while its value is."""
    conditions = [dict(it) for it in status.get("conditions") or ()]
    standing = next((it for it in conditions if it.get("type") == kind), None)
    since = now if isinstance(now, str) else to_wire(now)
    if standing is not None and standing.get("status") == value:
        since = standing.get("lastTransitionTime", since)
    made = {"type": kind, "status": value, "lastTransitionTime": since, "reason": reason, "message": message}
    status["conditions"] = [made if it is standing else it for it in conditions]
    if standing is None:
        status["conditions"].append(made)
