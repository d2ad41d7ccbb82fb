"""What Go's decoder says of a value of a wrong type.

Owns `WrongType` and its sentences. Knows nothing of the walk but the paths that it leaves behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podling.api.schema import Schema

Path = tuple[Any, Any, Any]
"""(path of the parent, key or index, the struct whose field it is or None); None at the root."""


class WrongType(ValueError):
    """A value of another type than its field's; the message is Go's."""


def mismatch(value: Any, schema: Schema, path: Path | None, *, number: bool = False) -> WrongType:
    """Return the refusal of a value where `schema` is expected; `number` names its digits, as for one out of range."""
    what = f"number {number_text(value)}" if number else value_name(value)
    stack: list[str] = []
    owner: Schema | None = None
    at = path
    own_field = ""
    while at is not None:
        at, key, struct = at
        if struct is not None:
            if owner is None:
                owner, own_field = struct, key
            stack.append(key)
    if owner is None:
        return WrongType(f"json: cannot unmarshal {what} into Go value of type {_go_type(schema)}")
    go_type = _go_type(schema)
    if path is not None and path[2] is not None:
        go_type = owner.go_names.get(own_field, go_type)
    field = ".".join(reversed(stack))
    return WrongType(
        f"json: cannot unmarshal {what} into Go struct field {owner.name.rsplit('.', 1)[-1]}.{field} of type {go_type}"
    )


def value_name(value: Any) -> str:
    """Return what JSON calls the type of a value."""
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "number", float: "number", dict: "object", list: "array"}.get(type(value), "null")


def number_text(value: Any) -> str:
    """Return a number as the document has it."""
    if isinstance(value, float) and value.is_integer() and abs(value) >= 2**63:
        return str(int(value))
    return str(value)


def _go_type(schema: Schema) -> str:
    match schema.kind:
        case "struct":
            version, kind = schema.name.split(".")[-2:] if "." in schema.name else ("v1", schema.name)
            return f"{version}.{kind}"
        case "list":
            return "[]" + _go_type(schema.item) if schema.item else "[]interface {}"
        case "map" if schema.item is not None:
            return "v1.ResourceList" if schema.item.kind == "quantity" else f"map[string]{_go_type(schema.item)}"
        case "double":
            return "float64"
        case "byte":
            return "[]uint8"
        case "quantity":
            return "resource.Quantity"
        case "int-or-string":
            return "intstr.IntOrString"
        case "time" | "microtime":
            return "v1.Time"
        case "any" | "object":
            return "interface {}"
        case scalar:
            return scalar
