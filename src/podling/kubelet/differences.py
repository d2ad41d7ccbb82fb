"""What has to be patched in a status so that the API says what is so.

Owns the shape of strategic merge patches of statuses: conditions merge by type and field by field, lists that would
merge by another key are replaced, all else is set. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.lifecycle.conditions import PASSING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def status_patch(known: Mapping[str, Any], wanted: Mapping[str, Any], merged_by_key: Collection[str]) -> dict[str, Any]:
    """Return the patch that turns `known` into `wanted`; empty if nothing differs.

    `merged_by_key` names the lists, `conditions` aside, that a strategic merge would add to.
    """
    changes: dict[str, Any] = {}
    for key, value in wanted.items():
        before = known.get(key)
        if before == value:
            continue
        if key == "conditions":
            held = {condition["type"]: condition for condition in before or ()}
            changed = [_replaced(c, held.get(c["type"])) for c in value if held.get(c["type"]) != c]
            kept = {condition["type"] for condition in value}
            changed += [{"$patch": "delete", "type": type_} for type_ in held if type_ in PASSING and type_ not in kept]
            if changed:
                changes[key] = changed
        elif key in merged_by_key and before:
            changes[key] = [{"$patch": "replace"}, *value]
        elif isinstance(value, dict) and isinstance(before, dict):
            changes[key] = _replaced(value, before)
        else:
            changes[key] = value
    changes.update({key: None for key in known if key not in wanted})
    return changes


def _replaced(wanted: dict[str, Any], known: dict[str, Any] | None) -> dict[str, Any]:
    """Return a condition or a map as a patch: what it no longer says is nulled."""
    if known is None:
        return wanted
    return {**{key: None for key in known if key not in wanted}, **wanted}
