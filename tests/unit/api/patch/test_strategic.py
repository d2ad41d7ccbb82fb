"""Strategic merge patches, by upstream's table of cases."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podling.api.errors import StatusError
from podling.api.patch import strategic_merge_patch
from podling.api.schema import Schema


def _merge_item() -> Schema:
    string, integer = Schema("string"), Schema("int64")
    fields: dict[str, Schema] = {}
    item = Schema("struct", name="test.v1.MergeItem", fields=fields)
    merging = {"merge_key": "name", "strategies": ("merge",)}
    fields.update(
        name=string,
        value=string,
        other=string,
        simpleMap=Schema("map", item=string),
        mergingList=Schema("list", item=item, **merging),  # type: ignore[arg-type]
        nonMergingList=Schema("list", item=item),
        mergingIntList=Schema("list", item=integer, strategies=("merge",)),
        nonMergingIntList=Schema("list", item=integer),
        replacingItem=Schema("map", item=string, strategies=("replace",)),
        retainKeysMap=item,
    )
    fields["retainKeysMergingList"] = Schema("list", item=item, merge_key="name", strategies=("merge", "retainKeys"))
    return item


ITEM = _merge_item()

CASES: list[tuple[str, str, str, str]] = [
    ("unique scalars", "mergingIntList: [1, 2]", "mergingIntList: [2, 3]", "mergingIntList: [1, 2, 3]"),
    ("empty a nested map", "simpleMap: {a: '1'}", "simpleMap: {$patch: delete}", "simpleMap: {}"),
    ("empty a list", "mergingList: [{name: 1}, {name: 2}]", "mergingList: [{$patch: replace}]", "mergingList: []"),
    ("merge empty lists", "mergingList: []", "mergingList: []", "mergingList: []"),
    ("empty the whole", "{name: 1, value: 1}", "{$patch: replace}", "{}"),
    ("replace the whole", "{name: 1, value: 1}", "{other: a, $patch: replace}", "{other: a}"),
    (
        "delete all of a key",
        "mergingList: [{name: 1}, {name: 1}, {name: 2, value: a}, {name: 3}, {name: 3}]",
        "mergingList: [{name: 1, $patch: delete}, {name: 3, $patch: delete}]",
        "mergingList: [{name: 2, value: a}]",
    ),
    ("delete from nothing", "mergingList: []", "mergingList: [{name: 1, $patch: delete}]", "mergingList: []"),
    ("add to a map", "{name: 1}", "{value: 1}", "{name: 1, value: 1}"),
    ("null removes", "{name: 1, other: a}", "{name: null, value: 1}", "{value: 1, other: a}"),
    ("null for what is not there", "{name: 2}", "{name: 1, other: null}", "{name: 1}"),
    ("replace scalars", "nonMergingIntList: [1, 2]", "nonMergingIntList: [2, 3]", "nonMergingIntList: [2, 3]"),
    ("replace a list", "nonMergingList: [{name: 1, value: 1}]", "nonMergingList: [{name: 1}]", "nonMergingList: [{name: 1}]"),
    ("replacing map", "replacingItem: {a: '1'}", "replacingItem: {b: '2'}", "replacingItem: {b: '2'}"),
    (
        "the patch's order",
        "mergingList: [{name: 1}, {name: 2, value: b}, {name: 3}]",
        "mergingList: [{name: 3, value: c}, {name: 1, value: a}, {name: 2, other: x}]",
        "mergingList: [{name: 3, value: c}, {name: 1, value: a}, {name: 2, value: b, other: x}]",
    ),
    (
        "the patch's order among others",
        "mergingList: [{name: 1}, {name: 2, value: b}, {name: 3}]",
        "mergingList: [{name: 3, value: c}, {name: 1, value: a}]",
        "mergingList: [{name: 2, value: b}, {name: 3, value: c}, {name: 1, value: a}]",
    ),
    ("scalars in the patch's order", "mergingIntList: [1, 2, 3]", "mergingIntList: [3, 1]", "mergingIntList: [2, 3, 1]"),
    (
        "an order with strangers",
        "mergingList: [{name: 1}, {name: 3}]",
        "{$setElementOrder/mergingList: [{name: 3}, {name: 2}, {name: 1}], mergingList: [{name: 3, value: 3}, {name: 1, value: 1}]}",
        "mergingList: [{name: 3, value: 3}, {name: 1, value: 1}]",
    ),
    ("an order of scalars alone", "mergingIntList: [1, 3]", "{$setElementOrder/mergingIntList: [3, 2, 1]}", "mergingIntList: [3, 1]"),
    (
        "delete scalars",
        "mergingIntList: [1, 2, 3, 3, 4]",
        "{$setElementOrder/mergingIntList: [1, 2], $deleteFromPrimitiveList/mergingIntList: [3]}",
        "mergingIntList: [1, 2, 4]",
    ),
    (
        "add and delete scalars",
        "mergingIntList: [1, 2, 3]",
        "{$setElementOrder/mergingIntList: [1, 2, 4], $deleteFromPrimitiveList/mergingIntList: [3], mergingIntList: [4]}",
        "mergingIntList: [1, 2, 4]",
    ),
    (
        "add in the asked order",
        "mergingList: [{name: 1, other: a}, {name: 2, value: 2, other: b}]",
        "{$setElementOrder/mergingList: [{name: 4}, {name: 1}, {name: 2}, {name: 3}], mergingList: [{name: 4, value: 4}, {name: 3, value: 3}]}",
        "mergingList: [{name: 4, value: 4}, {name: 1, other: a}, {name: 2, value: 2, other: b}, {name: 3, value: 3}]",
    ),
    (
        "delete in the asked order, the server's own between",
        "mergingList: [{name: 1}, {name: 9}, {name: 2}, {name: 3}]",
        "{$setElementOrder/mergingList: [{name: 3}, {name: 1}], mergingList: [{name: 2, $patch: delete}]}",
        "mergingList: [{name: 9}, {name: 3}, {name: 1}]",
    ),
    (
        "lists within lists",
        "mergingList: [{name: 1, mergingList: [{name: 1}, {name: 2}]}]",
        "mergingList: [{name: 1, mergingList: [{name: 2, value: b}, {name: 3}]}]",
        "mergingList: [{name: 1, mergingList: [{name: 1}, {name: 2, value: b}, {name: 3}]}]",
    ),
    ("retain keys", "retainKeysMap: {name: foo, other: a}", "retainKeysMap: {$retainKeys: [name, value], value: bar}", "retainKeysMap: {name: foo, value: bar}"),
    (
        "retain keys of an item",
        "retainKeysMergingList: [{name: bar}, {name: foo, value: a}]",
        "retainKeysMergingList: [{name: foo, $retainKeys: [name, other], other: b}]",
        "retainKeysMergingList: [{name: bar}, {name: foo, other: b}]",
    ),
    ("without the directive nothing goes", "retainKeysMap: {name: foo}", "retainKeysMap: {value: bar}", "retainKeysMap: {name: foo, value: bar}"),
    ("directives without a target", "{}", "{mergingList: [{name: 1, $patch: delete}, {name: 2, value: null}], retainKeysMap: {$retainKeys: [name], name: a}}", "{mergingList: [{name: 2}], retainKeysMap: {name: a}}"),
    ("another type", "simpleMap: {a: b}", "simpleMap: x", "simpleMap: x"),
]  # fmt: skip


@pytest.mark.parametrize(("original", "patch", "result"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_a_patch_makes(original: str, patch: str, result: str) -> None:
    """Each of upstream's cases; neither input changes."""
    before, change = yaml.safe_load(original), yaml.safe_load(patch)
    kept = copy.deepcopy((before, change))
    assert strategic_merge_patch(before, change, ITEM) == yaml.safe_load(result)
    assert (before, change) == kept


@pytest.mark.parametrize(
    ("original", "patch", "code", "why"),
    [
        ("mergingList: [{name: 1}]", "mergingList: [{value: b}]", 500, "map: map[value:b] does not contain declared merge key: name"),
        (
            "mergingIntList: [1, 3, 2]",
            "{$setElementOrder/mergingIntList: [1, 2, 3], mergingIntList: [3, 1]}",
            500,
            "The order in patch list:\n[3 1]\n doesn't match $setElementOrder list:\n[1 2 3]\n",
        ),
        ("{}", "{$setElementOrder: [1]}", 400, "invalid patch format of setElementOrder list"),
        ("{}", "{$deleteFromPrimitiveList: [1]}", 400, "invalid patch format of primitive list"),
        ("retainKeysMap: {name: a}", "retainKeysMap: {$retainKeys: [name], value: b}", 400, "invalid patch format of retainKeys"),
        ("name: a", "{$patch: foo}", 500, "unknown patch type: foo in map: map[$patch:foo]"),
        ("mergingIntList: [1]", "mergingIntList: [[1]]", 422, "the server rejected our request due to an error in our request"),
        ("name: a", "[1]", 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ],
)  # fmt: skip
def test_what_is_refused(original: str, patch: str, code: int, why: str) -> None:
    """With upstream's codes and words."""
    with pytest.raises(StatusError) as refused:
        strategic_merge_patch(yaml.safe_load(original), yaml.safe_load(patch), ITEM)
    assert (refused.value.code, refused.value.message) == (code, why)


def test_a_pod_merges_by_its_schema() -> None:
    """Containers by name, ports by number, tolerations not at all, finalizers as a set, what is new in front."""
    pod: dict[str, Any] = {
        "metadata": {"name": "a", "finalizers": ["x/y"], "labels": {"a": "b"}},
        "spec": {
            "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "name": "http"}]}],
            "tolerations": [{"key": "a"}],
        },
    }
    patch = {
        "metadata": {"finalizers": ["x/z"], "labels": {"a": None, "c": "d"}},
        "spec": {
            "containers": [
                {"name": "c", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
                {"name": "d", "image": "j"},
            ],
            "tolerations": [{"key": "b"}],
        },
    }
    assert strategic_merge_patch(pod, patch, Schema.of("io.k8s.api.core.v1.Pod")) == {
        "metadata": {"name": "a", "finalizers": ["x/z", "x/y"], "labels": {"c": "d"}},
        "spec": {
            "containers": [
                {"name": "c", "image": "i", "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}]},
                {"name": "d", "image": "j"},
            ],
            "tolerations": [{"key": "b"}],
        },
    }


_item = st.fixed_dictionaries({"name": st.integers(1, 5)}, optional={"value": st.integers(0, 3)})
_items = st.lists(_item, max_size=5, unique_by=lambda i: i["name"])


@given(_items, _items)
def test_merging_lists_loses_and_doubles_nothing(original: list[dict[str, int]], patch: list[dict[str, int]]) -> None:
    """Every item of either list is there once; merging again changes nothing; each side keeps its order."""
    once = strategic_merge_patch({"mergingList": original}, {"mergingList": patch}, ITEM)
    names = [i["name"] for i in once["mergingList"]]
    assert sorted(names) == sorted({i["name"] for i in original + patch})
    wanted = [i["name"] for i in patch]
    if original:
        assert [n for n in names if n in wanted] == wanted
        others = [i["name"] for i in original if i["name"] not in wanted]
        assert [n for n in names if n not in wanted] == others
    assert strategic_merge_patch(once, {"mergingList": patch}, ITEM) == once


def test_long_lists_merge_in_linear_time() -> None:
    """A body full of finalizers or items does not hold the server: quadratic work would take minutes here."""
    many = list(range(60_000))
    patch = {"mergingIntList": many[::-1], "$deleteFromPrimitiveList/mergingIntList": many[:30_000]}
    assert strategic_merge_patch({"mergingIntList": many}, patch, ITEM) == {"mergingIntList": many[:29_999:-1]}
    items = [{"name": n} for n in many]
    assert strategic_merge_patch({"mergingList": items}, {"mergingList": items}, ITEM) == {"mergingList": items}
