"""Owns the Schema: what fields each definition has, of which types, and how their lists and maps merge.

One Schema serves pruning, strictness, patch and apply, all of which walk plain JSON trees. It comes from the published
schema of the newest release (`data/schema.json`, written by `tools/generate_api.py`; a definition is read when it is
first asked for) or from a CustomResourceDefinition (`custom/structural.py`). Must not know resources, validation or the
typed view.

Invariants: a Schema never changes; equal names give the same object; structs may contain themselves.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

STRUCT: Final = "struct"
LIST: Final = "list"
MAP: Final = "map"
SCALARS: Final = frozenset(
    {"string", "byte", "bool", "int32", "int64", "double", "quantity", "int-or-string", "time", "microtime"}
)
OPAQUE: Final = frozenset({"object", "any"})
"""Kinds whose content is the writer's own: neither pruned nor typed."""
NESTED: Final = frozenset({"schema-or-array", "schema-or-bool", "schema-or-strings"})
"""Kinds that hold a JSON schema, or what their names say."""
ABSENT: Final = object()
"""Stands where there is no value, not even null."""


class Schema:
    """The shape of one node of a tree: a struct with named fields, a list, a map with free keys, or a scalar."""

    __slots__ = (
        "_fields",
        "_raw_fields",
        "atomic",
        "default",
        "embedded",
        "go_names",
        "item",
        "keys",
        "kind",
        "kinds",
        "list_type",
        "merge_key",
        "name",
        "nullable",
        "open",
        "pointers",
        "printed",
        "required",
        "strategies",
        "walker",
    )

    def __init__(
        self,
        kind: str,
        *,
        name: str = "",
        fields: dict[str, Schema] | None = None,
        item: Schema | None = None,
        list_type: str = "",
        keys: tuple[str, ...] = (),
        merge_key: str = "",
        strategies: tuple[str, ...] = (),
        atomic: bool = False,
    ) -> None:
        self.kind = kind
        """`struct`, `list`, `map`, or one of `SCALARS`, `OPAQUE` or `NESTED`."""
        self.name = name
        """The definition's name (`io.k8s.api.core.v1.Pod`); empty for what has none."""
        self.item = item
        """What a list or a map holds."""
        self.list_type = list_type
        """`atomic`, `set`, `map`, or empty, which means atomic."""
        self.keys = keys
        """The keys by which the items of a list of type `map` are told apart."""
        self.merge_key = merge_key
        """The one key by which a strategic merge patch finds items."""
        self.strategies = strategies
        """A strategic merge patch's strategies for this field: `merge`, `replace`, `retainKeys`."""
        self.atomic = atomic
        """Whether apply treats the struct or map as one value."""
        self.required: frozenset[str] = frozenset()
        self.printed: tuple[str, ...] = ()
        """The fields that upstream prints although they are empty."""
        self.pointers: frozenset[str] = frozenset()
        """The strings for which absent and empty differ."""
        self.kinds: tuple[tuple[str, str, str], ...] = ()
        """(group, version, kind) of a whole object."""
        self.go_names: Mapping[str, str] = {}
        """Field → the name of its type in upstream's refusals, where that is not the scalar's own."""
        self.walker: Any = None
        """`conform`'s compiled form."""
        self.open = False
        """Whether fields that are not known stay (`x-kubernetes-preserve-unknown-fields`)."""
        self.embedded = False
        """Whether the struct is an object of its own, with apiVersion, kind and metadata beside its fields."""
        self.nullable = False
        """Whether null is a value, where the tree is not typed by Go."""
        self.default: Any = ABSENT
        """What a CustomResourceDefinition puts where nothing is; `ABSENT` for none."""
        self._fields = fields
        self._raw_fields: dict[str, Any] = {}

    @property
    def fields(self) -> Mapping[str, Schema]:
        """The fields of a struct; empty for all other kinds."""
        if self._fields is None:
            self._fields = {name: _of_node(node) for name, node in self._raw_fields.items()}
        return self._fields

    def child(self, key: str) -> Schema | None:
        """Return the schema of a struct's field or of a map's value; None for a field that is not known."""
        if self.kind == STRUCT:
            return self.fields.get(key)
        return self.item if self.kind == MAP else None

    def __repr__(self) -> str:
        return f"<Schema {self.name or self.kind}>"

    @staticmethod
    def of(name: str) -> Schema:
        """Return the schema of a definition; `KeyError` for a name that upstream does not publish."""
        return _definition(name)

    @staticmethod
    def of_kind(group: str, version: str, kind: str) -> Schema:
        """Return the schema of a kind of object; `KeyError` where there is none."""
        return _definition(_names_by_kind()[group, version, kind])


@functools.cache
def _documents() -> dict[str, msgspec.Raw]:
    data = (Path(__file__).parent / "data" / "schema.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, msgspec.Raw])


@functools.cache
def _names_by_kind() -> dict[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for name, raw in _documents().items():
        for group, version, kind in msgspec.json.decode(raw).get("kinds", ()):
            found[group, version, kind] = name
    return found


@functools.cache
def _definition(name: str) -> Schema:
    document: dict[str, Any] = msgspec.json.decode(_documents()[name])
    schema = Schema(STRUCT, name=name, atomic=document.get("atomic", False))
    schema.required = frozenset(document.get("required", ()))
    schema.printed = tuple(document.get("printed", ()))
    schema.pointers = frozenset(document.get("pointers", ()))
    schema.kinds = tuple((g, v, k) for g, v, k in document.get("kinds", ()))
    schema.go_names = document.get("go", {})
    schema._raw_fields = document["fields"]
    return schema


@functools.cache
def _scalar(kind: str) -> Schema:
    return Schema(kind)


def _of_node(node: Any) -> Schema:
    """Read a node of `schema.json`: a scalar's kind, `["ref", name]`, `["list", item, attributes]` or `["map", …]`."""
    if isinstance(node, str):
        return _scalar(node)
    kind, inner, *rest = node
    attributes: dict[str, Any] = rest[0] if rest else {}
    if kind == "ref":
        return _definition(inner)
    return Schema(
        kind,
        item=_of_node(inner),
        list_type=attributes.get("listType", ""),
        keys=tuple(attributes.get("keys", ())),
        merge_key=attributes.get("mergeKey", ""),
        strategies=tuple(s for s in attributes.get("strategy", "").split(",") if s),
        atomic=attributes.get("mapType") == "atomic",
    )
