"""What must hold of every tree that conforms to a schema, whatever it says."""

import copy
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podling.api.conform import WrongType, walk
from podling.api.patch import merge_patch, strategic_merge_patch
from podling.api.schema import Schema
from podling.api.types.core_v1 import Node, Pod, Service

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.sampled_from(["", "a", "b.c/d"]),
    "byte": st.sampled_from(["", "aGk="]),
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "quantity": st.sampled_from(["1", "0.5", "1024Ki", "1e3", "1500m"]) | st.integers(-9, 9),
    "int-or-string": st.integers(0, 9) | st.just("http"),
    "time": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5+02:00"]),
    "microtime": st.just("2026-01-01T00:00:00.000001Z"),
    "object": st.just({"x": [1, None]}),
    "any": st.just(1),
    "schema-or-array": st.just({"type": "string"}),
    "schema-or-bool": st.booleans(),
    "schema-or-strings": st.just(["a"]),
}


@st.composite
def trees(draw: st.DrawFn, schema: Schema, depth: int = 5) -> Any:
    """A well-typed tree: some of a struct's fields, few items, nulls among them; times that are required are there."""
    if schema.kind == "struct":
        names = sorted(schema.fields)
        chosen = draw(st.lists(st.sampled_from(names), max_size=6, unique=True)) if names and depth else []
        timed = [n for n in sorted(schema.required) if schema.fields[n].kind in {"time", "microtime"}]
        made = {n: draw(trees(schema.fields[n], depth - 1)) for n in {*chosen, *timed}}
        nulls = draw(st.lists(st.sampled_from(names), max_size=1)) if names else []
        return {**{n: None for n in nulls if n not in timed and n not in made}, **dict(sorted(made.items()))}
    if schema.kind == "list":
        assert schema.item is not None
        return draw(st.lists(trees(schema.item, depth - 1), max_size=2)) if depth > 0 else []
    if schema.kind == "map":
        assert schema.item is not None
        return draw(st.dictionaries(st.sampled_from("ab"), trees(schema.item, depth - 1), max_size=2))
    return draw(SCALARS[schema.kind])


KINDS: dict[Any, str] = {
    Pod: "io.k8s.api.core.v1.Pod",
    Node: "io.k8s.api.core.v1.Node",
    Service: "io.k8s.api.core.v1.Service",
}
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@FEW
@given(st.data(), st.sampled_from(sorted(KINDS, key=lambda k: k.__name__)))
def test_what_conforms_is_a_fixed_point_that_the_typed_view_reads_at_once(data: st.DataObject, kind: type) -> None:
    """Well-typed trees are taken whole; conforming again changes nothing; no second pass is needed to decode them."""
    schema = Schema.of(KINDS[kind])
    tree = {**data.draw(trees(schema)), "apiVersion": "v1", "kind": kind.__name__}
    assert walk(tree, schema).unknown == ()
    again = copy.deepcopy(tree)
    walk(again, schema)
    assert again == tree
    view: Any = msgspec.json.decode(msgspec.json.encode(tree), type=kind)
    written = msgspec.json.decode(msgspec.json.encode(view))
    walk(written, schema)
    assert (
        written == {**tree, "kind": written["kind"], "apiVersion": written["apiVersion"]}
        or "kind" in tree
        or "apiVersion" in tree
    )


@FEW
@given(st.data())
def test_merging_an_object_into_itself_changes_nothing(data: st.DataObject) -> None:
    """Either kind of merge patch that says what is already so is no change."""
    schema = Schema.of(KINDS[Pod])
    tree = data.draw(trees(schema))
    walk(tree, schema)
    assert merge_patch(tree, tree) == tree
    spec = {key: value for key, value in tree["spec"].items() if not isinstance(value, list)}
    patched = strategic_merge_patch(tree, {"spec": spec}, schema)
    walk(patched, schema)
    assert patched == tree


@FEW
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=2),
        lambda s: (
            st.lists(s, max_size=2)
            | st.dictionaries(
                st.sampled_from(["metadata", "spec", "containers", "name", "labels", "status", "x"]), s, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_conforms_or_is_refused(tree: Any) -> None:
    """Never another exception, whatever is sent."""
    try:
        walk(tree, Schema.of(KINDS[Pod]))
    except WrongType as refused:
        assert str(refused)
