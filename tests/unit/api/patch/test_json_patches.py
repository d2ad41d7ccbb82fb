"""JSON patches and merge patches, by the examples of their RFCs and upstream's library."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.errors import StatusError
from podling.api.patch import json_patch, merge_patch


@pytest.mark.parametrize(
    ("tree", "patch", "result"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/-1", "value": 3}], {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}], {"a": [1]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": {"b": 1}}, [{"op": "replace", "path": "/a/b", "value": {"c": None}}], {"a": {"b": {"c": None}}}),
        ({"a": {"b": 1}, "c": {}}, [{"op": "move", "from": "/a/b", "path": "/c/d"}], {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2]}, [{"op": "move", "from": "/a/0", "path": "/a/1"}], {"a": [2, 1]}),
        ({"a": {"b": [1]}}, [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "add", "path": "/a/b/-", "value": 2}],
         {"a": {"b": [1, 2]}, "c": {"b": [1]}}),
        ({"a/b": {"m~n": 1}}, [{"op": "test", "path": "/a~1b/m~0n", "value": 1}], {"a/b": {"m~n": 1}}),
        ({"a": {"x": [1, {"y": None}]}}, [{"op": "test", "path": "/a", "value": {"x": [1, {"y": None}]}}], {"a": {"x": [1, {"y": None}]}}),
        ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    ],
)  # fmt: skip
def test_json_patches_apply(tree: Any, patch: Any, result: Any) -> None:
    """Every operation, in objects and arrays; the inputs stay as they are."""
    kept = copy.deepcopy((tree, patch))
    assert json_patch(tree, patch) == result
    assert (tree, patch) == kept


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/z", "value": 1},
        {"op": "remove", "path": "/z"},
        {"op": "replace", "path": "/z", "value": 1},
        {"op": "replace", "path": "", "value": 1},
        {"op": "add", "path": "/z/y", "value": 1},
        {"op": "add", "path": "/a/y", "value": 1},
        {"op": "add", "path": "/l/5", "value": 1},
        {"op": "add", "path": "/l/x", "value": 1},
        {"op": "add", "path": "/l/99999999999999999999", "value": 1},
        {"op": "remove", "path": "/l/-2"},
        {"op": "move", "from": "/z", "path": "/y"},
        {"op": "copy", "path": "/y"},
        {"op": "frob", "path": "/a"},
        {"op": "add", "value": 1},
        {},
    ],
)
def test_what_does_not_fit_is_refused_with_422(operation: Any) -> None:
    """Upstream tells its clients no more than that; the cause is kept."""
    with pytest.raises(StatusError) as refused:
        json_patch({"a": 1, "l": [1]}, [operation])
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert refused.value.__cause__ is not None


def test_what_is_no_patch_is_refused() -> None:
    """A bad request for what is no patch, 413 for one with too many operations."""
    for patch, code in (({}, 400), ([1], 400), ([{"op": "test"}] * 10_001, 413)):
        with pytest.raises(StatusError) as refused:
            json_patch({}, patch)
        assert refused.value.code == code
    with pytest.raises(StatusError, match="Invalid JSON Patch"):
        merge_patch({}, [])


def test_copies_cannot_fill_the_memory() -> None:
    """A patch that doubles the document forty times is refused before it grows."""
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/x{i}"} for i in range(40)]
    with pytest.raises(StatusError) as refused:
        json_patch({"a": {"text": "x" * 100}}, doubling)
    assert refused.value.code == 422


@pytest.mark.parametrize(
    ("tree", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"b": {"c": 2}}}, {"a": {"b": {"c": 2}}}),
    ],
)
def test_merge_patches_merge(tree: Any, patch: Any, result: Any) -> None:
    """The examples of RFC 7386; the inputs stay as they are."""
    kept = copy.deepcopy((tree, patch))
    assert merge_patch(tree, patch) == result
    assert (tree, patch) == kept


_trees = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3),
    lambda s: st.lists(s, max_size=2) | st.dictionaries(st.sampled_from("abc"), s, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(st.sampled_from("abc"), _trees, max_size=3)


@given(_objects, _objects)
def test_merging_twice_is_merging_once_and_shares_nothing(tree: dict[str, Any], patch: dict[str, Any]) -> None:
    """Idempotent, and what comes out may be changed without harm."""
    kept = copy.deepcopy((tree, patch))
    once = merge_patch(tree, patch)
    assert merge_patch(once, patch) == once
    _spoil(once)
    assert (tree, patch) == kept


def _spoil(node: Any) -> None:
    values = list(node.values()) if isinstance(node, dict) else list(node) if isinstance(node, list) else []
    for value in values:
        _spoil(value)
    if isinstance(node, (dict, list)):
        node.clear()
