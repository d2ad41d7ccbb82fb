"""How custom objects are shown in tables: their name, and what `additionalPrinterColumns` point to, else their age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.jsonpath import Path
from podling.apiserver.tables.columns import AGE, NAME, UNKNOWN, Column, Layout, age

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AGE: Final = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": AGE.description}


def layout_of(given: Sequence[Mapping[str, Any]]) -> Layout:
    """Return the layout of a version's `additionalPrinterColumns`."""
    columns = list(given) or [_AGE]
    paths = [(Path(it["jsonPath"]), it["type"]) for it in columns]
    shown = [
        Column(
            it["name"],
            it.get("description") or f"Custom resource definition column (in JSONPath format): {it['jsonPath']}",
            it.get("priority", 0),
            it["type"],
            it.get("format", ""),
        )
        for it in columns
    ]

    def cells(tree: Any, now: float) -> list[Any]:
        return [tree["metadata"].get("name", ""), *(_cell(path.find(tree), kind, now) for path, kind in paths)]

    return Layout((NAME, *shown), cells, of_trees=True)


def _cell(found: list[Any], kind: str, now: float) -> Any:
    """Return a cell of a column's type; of what is of another type, nothing, as upstream has it."""
    if not found:
        return None
    value = found[0] if len(found) == 1 or kind != "string" else ",".join(_text(each) for each in found)
    match kind:
        case "string":
            return _text(value)
        case "date":
            try:
                return age(value, now) if isinstance(value, str) else UNKNOWN
            except ValueError:
                return "<invalid>"
        case "boolean":
            return value if isinstance(value, bool) else None
        case "integer":
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return int(value) if number else None
        case _:
            return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    import msgspec

    return msgspec.json.encode(value).decode()
