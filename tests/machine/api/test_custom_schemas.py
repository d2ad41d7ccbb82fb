"""What a custom object becomes by its schema: pruned, completed, judged in upstream's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podling.api.conform import WrongType
from podling.api.custom.defaulting import complete, has_defaults
from podling.api.custom.patterns import compiled
from podling.api.custom.pruning import prune
from podling.api.custom.structural import schema_of
from podling.api.custom.values import validator

STRING: dict[str, Any] = {"type": "string"}
OPEN: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


HEAD = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}

PRUNED: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    (of(a=STRING), {"a": "x"}, {"a": "x"}, ()),
    (of(a=STRING), {"a": "x", "b": 1}, {"a": "x"}, ("b",)),
    (of(a=of(b=STRING)), {"a": {"b": "", "c": None}}, {"a": {"b": ""}}, ("a.c",)),
    (of(a={"type": "object"}), {"a": {"b": 1}}, {"a": {}}, ("a.b",)),
    (of(a=OPEN), {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1}}}, ()),
    (of(a=OPEN | of(b=of(c=STRING))), {"a": {"b": {"d": 1}, "e": 1}}, {"a": {"b": {}, "e": 1}}, ("a.b.d",)),
    (
        of(a={"type": "object", "additionalProperties": of(b=STRING)}),
        {"a": {"x": {"b": "1", "c": 2}}},
        {"a": {"x": {"b": "1"}}},
        ("a.x.c",),
    ),
    (of(a={"type": "object", "additionalProperties": True}), {"a": {"x": {"y": 1}}}, {"a": {"x": {"y": 1}}}, ()),
    (of(a={"type": "array", "items": of(b=STRING)}), {"a": [{"c": 1}, {"b": ""}]}, {"a": [{}, {"b": ""}]}, ("a[0].c",)),
    # What is of a wrong type is for validation to judge.
    (of(a=of(b=STRING)), {"a": "text"}, {"a": "text"}, ()),
    (of(a={"x-kubernetes-int-or-string": True}), {"a": 1}, {"a": 1}, ()),
    # Objects within objects keep what every object has, and their metadata is pruned as any.
    (
        of(a=of(spec=STRING) | {"x-kubernetes-embedded-resource": True}),
        {"a": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "b", "odd": 1}, "spec": "", "more": 1}},
        {"a": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "b"}, "spec": ""}},
        ("a.metadata.odd", "a.more"),
    ),
]


@pytest.mark.parametrize(("node", "given", "kept", "unknown"), PRUNED)
def test_what_is_pruned(node, given, kept, unknown):
    """Fields that no schema knows go and are told; nothing else is touched."""
    tree = copy.deepcopy(HEAD | given)
    assert prune(tree, schema_of(node)).unknown == unknown
    assert tree == HEAD | kept


def test_without_a_schema_everything_stays():
    tree = {**HEAD, "anything": {"at": ["all"]}}
    assert not prune(tree, schema_of(None)).unknown
    assert tree["anything"] == {"at": ["all"]}


def test_metadata_is_typed():
    """Every object's metadata is read as Go reads it."""
    with pytest.raises(WrongType, match="cannot unmarshal number into Go struct field ObjectMeta.labels"):
        prune({"metadata": {"labels": {"a": 1}}}, schema_of(None))
    with pytest.raises(WrongType):
        prune({"metadata": "text"}, schema_of(None))


FILLED: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (of(a=STRING | {"default": "x"}), {}, {"a": "x"}),
    (of(a=STRING | {"default": "x"}), {"a": ""}, {"a": ""}),
    (of(a=STRING | {"default": "x"}), {"a": None}, {"a": "x"}),
    (of(a=STRING | {"default": "x", "nullable": True}), {"a": None}, {"a": None}),
    (of(a=STRING | {"default": "x", "nullable": True}), {}, {"a": "x"}),
    (of(a=of(b=STRING | {"default": "x"})), {}, {}),
    (of(a=of(b=STRING | {"default": "x"}) | {"default": {}}), {}, {"a": {"b": "x"}}),
    (of(a={"type": "array", "items": of(b=STRING | {"default": "x"})}), {"a": [{}]}, {"a": [{"b": "x"}]}),
    (
        of(a={"type": "object", "additionalProperties": STRING | {"default": "x"}}),
        {"a": {"k": None, "l": "y"}},
        {"a": {"k": "x", "l": "y"}},
    ),
]


@pytest.mark.parametrize(("node", "given", "filled"), FILLED)
def test_what_is_filled_in(node, given, filled):
    """A default is put where nothing is, below what is there; applying twice changes nothing."""
    schema, tree = schema_of(node), copy.deepcopy(given)
    assert has_defaults(schema)
    assert complete(tree, schema) == (given != filled)
    assert tree == filled
    assert not complete(tree, schema)


def test_defaults_are_not_shared():
    """What is put into one object is not what is put into the next."""
    schema = schema_of(of(a={"type": "array", "items": STRING, "default": ["x"]}))
    one: dict[str, Any] = {}
    complete(one, schema)
    one["a"].append("y")
    other: dict[str, Any] = {}
    complete(other, schema)
    assert other == {"a": ["x"]}


INVALID, TYPE = "FieldValueInvalid", "FieldValueTypeInvalid"
KEYED = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}
JUDGED: list[tuple[dict[str, Any], Any, tuple[str, str, str] | None]] = [
    (STRING, "x", None),
    (STRING, 1, (TYPE, "a", 'Invalid value: "integer": a in body must be of type string: "integer"')),
    (STRING, None, (TYPE, "a", 'Invalid value: "null": a in body must be of type string: "null"')),
    (STRING | {"nullable": True}, None, None),
    ({"type": "integer"}, 1.0, None),
    ({"type": "integer"}, True, (TYPE, "a", 'Invalid value: "boolean": a in body must be of type integer: "boolean"')),
    ({"type": "number"}, 3, None),
    ({"type": "number"}, "3", (TYPE, "a", 'Invalid value: "string": a in body must be of type number: "string"')),
    ({"x-kubernetes-int-or-string": True}, "80%", None),
    (
        {"x-kubernetes-int-or-string": True},
        True,
        (TYPE, "a", 'Invalid value: "boolean": a in body must be of type integer,string: "boolean"'),
    ),
    ({"type": "integer", "minimum": 2}, 2, None),
    (
        {"type": "integer", "minimum": 2},
        1,
        (INVALID, "a", "Invalid value: 1: a in body should be greater than or equal to 2"),
    ),
    (
        {"type": "integer", "maximum": 2, "exclusiveMaximum": True},
        2,
        (INVALID, "a", "Invalid value: 2: a in body should be less than 2"),
    ),
    ({"type": "integer", "multipleOf": 2}, 3, (INVALID, "a", "Invalid value: 3: a in body should be a multiple of 2")),
    (STRING | {"minLength": 2}, "ß", (INVALID, "a", 'Invalid value: "ß": a in body should be at least 2 chars long')),
    (STRING | {"maxLength": 2}, "abc", ("FieldValueTooLong", "a", "Too long: may not be more than 2 bytes")),
    (STRING | {"pattern": "^a+$"}, "aab", (INVALID, "a", "Invalid value: \"aab\": a in body should match '^a+$'")),
    (STRING | {"pattern": "a"}, "bab", None),
    (
        STRING | {"enum": ["b", "c"]},
        "d",
        ("FieldValueNotSupported", "a", 'Unsupported value: "d": supported values: "b", "c"'),
    ),
    (
        STRING | {"format": "date-time"},
        "now",
        (TYPE, "a", 'Invalid value: "now": a in body must be of type date-time: "now"'),
    ),
    (STRING | {"format": "date-time"}, "2024-01-02T03:04:05Z", None),
    (STRING | {"format": "ipv4"}, "10.0.0.256",
     (TYPE, "a", 'Invalid value: "10.0.0.256": a in body must be of type ipv4: "10.0.0.256"')),
    (STRING | {"format": "of-nobody"}, "anything", None),
    ({"type": "array", "items": STRING, "maxItems": 1}, ["x", "y"],
     ("FieldValueTooMany", "a", "Too many: 2: must have at most 1 items")),
    ({"type": "array", "items": STRING}, ["x", 1],
     (TYPE, "a[1]", 'Invalid value: "integer": a[1] in body must be of type string: "integer"')),
    ({"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}, ["x", "x"],
     ("FieldValueDuplicate", "a[1]", 'Duplicate value: "x"')),
    ({"type": "array", "items": of(n=STRING, m=STRING), **KEYED}, [{"n": "x", "m": "1"}, {"n": "x", "m": "2"}],
     ("FieldValueDuplicate", "a[1]", 'Duplicate value: {"n":"x"}')),
    (of(b=STRING) | {"required": ["b"]}, {}, ("FieldValueRequired", "a.b", "Required value")),
    ({"type": "object", "additionalProperties": STRING}, {"k": 1},
     (TYPE, "a.k", 'Invalid value: "integer": a.k in body must be of type string: "integer"')),
    ({"type": "object", "additionalProperties": STRING, "maxProperties": 1}, {"k": "", "l": ""},
     ("FieldValueTooMany", "a", "Too many: 2: must have at most 1 items")),
    (OPEN | {"x-kubernetes-embedded-resource": True}, {"kind": "X"},
     ("FieldValueRequired", "a.apiVersion", "Required value: must not be empty")),
    (STRING | {"anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]}, "c",
     (INVALID, "<nil>", 'Invalid value: "": "a" must validate at least one schema (anyOf)')),
    (of(b=STRING, c=STRING) | {"oneOf": [{"required": ["b"]}, {"required": ["c"]}]}, {"b": "", "c": ""},
     (INVALID, "<nil>",
      'Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives')),
    (STRING | {"not": {"enum": ["x"]}}, "x",
     (INVALID, "<nil>", 'Invalid value: "": "a" must not validate the schema (not)')),
]  # fmt: skip


@pytest.mark.parametrize(("node", "value", "refusal"), JUDGED)
def test_how_values_are_judged(node, value, refusal):
    """Upstream's reason, path and sentence; where nothing is wrong, nothing is said."""
    causes: list[Any] = []
    validator(of(a=node))({"a": value}, "", causes)
    assert [(it.reason, it.field, it.message) for it in causes] == ([refusal] if refusal else [])


@pytest.mark.parametrize(
    ("pattern", "fits", "does_not"),
    [
        ("^a$", "a", "a\n"),
        (r"^\d+\z", "12", "12\n"),
        ("^[[:alpha:]_]+$", "a_B", "a1"),
        ("[$]", "a$b", "ab"),
        (r"^[[&&||~~\[\\]+$", "[&|~\\", "a"),
        (r"^\$\w$", "$a", "$ä"),
        ("^(?P<x>a)(?:b)?$", "ab", "b"),
        (r"^[a-z\]]+$", "a]", "A"),
    ],
)
def test_patterns_are_gos(pattern, fits, does_not):
    """`$` is the end of the text, classes are of ASCII, and POSIX has names for them."""
    assert compiled(pattern).search(fits)
    assert not compiled(pattern).search(does_not)


@pytest.mark.parametrize(("factor", "value"), [(0, 1), (1e-300, 1e300), (2, 10**400 + 1), (1e-320, 1)])
def test_multiples_that_cannot_be_reckoned(factor, value):
    """They are refused, and no failure of the server's."""
    causes: list[Any] = []
    validator({"type": "number", "multipleOf": factor})(value, "a", causes)
    assert [cause.field for cause in causes] == ["a"]


@pytest.mark.parametrize("kind", ["set", "map"])
def test_long_lists_are_judged_in_one_pass(kind):
    """Each item is held against all before it by its key, not with each of them: that would take an hour here."""
    of_maps = kind == "map"
    node = {
        "type": "array",
        "items": of(n=STRING) if of_maps else STRING,
        "x-kubernetes-list-type": kind,
        "x-kubernetes-list-map-keys": ["n"] if of_maps else [],
    }
    items: list[Any] = [{"n": str(i)} if of_maps else str(i) for i in (*range(200_000), 7)]
    causes: list[Any] = []
    validator(node)(items, "a", causes)
    assert [cause.field for cause in causes if cause.reason == "FieldValueDuplicate"] == ["a[200000]"]


def test_what_a_set_takes_for_the_same():
    """As JSON sees it: true is not 1, and the order of an object's fields is nothing."""
    causes: list[Any] = []
    validator({"type": "array", "x-kubernetes-list-type": "set"})([1, True, {"a": 1, "b": 2}], "a", causes)
    assert causes == []
    validator({"type": "array", "x-kubernetes-list-type": "set"})([{"a": 1, "b": 2}, {"b": 2, "a": 1}], "a", causes)
    assert [cause.field for cause in causes] == ["a[1]"]
