"""Every leaf of a specification was seen to work, or whoever sets it is told that it does not: nothing is in neither."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from podling.api.resources import NETWORK_POLICIES, PODS, SERVICES
from podling.api.schema import LIST, MAP, STRUCT, Schema
from podling.apiserver.gaps import UNENFORCED
from podling.apiserver.kinds.pod_gates import ALPHA
from podling.linux.families import IPV4
from tests.e2e.policies import cases as cases_of_policies
from tests.e2e.test_given import GIVEN
from tests.leaves import SEEN

TESTS = Path(__file__).parents[1]
RESOURCES = {resource.kind: resource for resource in (NETWORK_POLICIES, PODS, SERVICES)}
DROPPED = {"Pod": frozenset(f"spec.{path}" for path in ALPHA)}
REFUSALS = "unit/api/validation/"
"""What a test in here saw is a refusal, and of the whole of a line."""
CASES = {name: manifest for name, manifest, _ in GIVEN}


def _leaves(schema: Schema, path: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the path of every scalar: `[]` after a list, `{}` after a map; what contains itself is opened once."""
    if schema.kind == STRUCT and schema.fields:
        if schema.name not in above:
            for name, field in schema.fields.items():
                yield from _leaves(field, f"{path}.{name}", (*above, schema.name))
    elif schema.kind in {LIST, MAP} and schema.item is not None:
        yield from _leaves(schema.item, path + ("[]" if schema.kind == LIST else "{}"), above)
    else:
        yield path


def leaves(kind: str) -> list[str]:
    """Return the leaves of a kind's specification."""
    return list(_leaves(Schema.of(RESOURCES[kind].schema_name).fields["spec"], "spec"))


def covers(line: str, leaf: str) -> bool:
    return leaf == line or (leaf.startswith(line) and leaf[len(line)] in ".[{")


def line_of(leaf: str, table: Mapping[str, Any]) -> str | None:
    """Return the longest line that covers a leaf."""
    return max((line for line in table if covers(line, leaf)), key=len, default=None)


def _whole(kind: str) -> dict[str, str]:
    """Return the gaps that are of a leaf whatever its value."""
    return {path: why for path, why in UNENFORCED.get(kind, {}).items() if "=" not in path}


@pytest.mark.parametrize("kind", SEEN)
def test_no_leaf_is_silently_ignored(kind: str) -> None:
    """Each is seen by a test, unenforced with a warning, or alpha and dropped with one; and only one of these."""
    neither, both = [], []
    for leaf in leaves(kind):
        seen, gap = line_of(leaf, SEEN[kind]), line_of(leaf, _whole(kind))
        dropped = line_of(leaf, dict.fromkeys(DROPPED.get(kind, ()), ""))
        if seen is not None and gap is not None and len(gap) <= len(seen):
            both.append(leaf)
        elif seen is None and gap is None and dropped is None:
            neither.append(leaf)
    assert neither == []
    assert both == []


@pytest.mark.parametrize("kind", SEEN)
def test_no_line_is_without_a_leaf(kind: str) -> None:
    """A line that covers nothing, or nothing that a longer one does not cover, says nothing."""
    used = {line_of(leaf, SEEN[kind]) for leaf in leaves(kind)}
    assert [line for line in SEEN[kind] if line not in used] == []


@functools.cache
def _file(name: str) -> tuple[str, frozenset[str]]:
    """Return a test file's words, with those of the helpers beside it, and the names of its tests."""
    path = TESTS / name
    text = path.read_text()
    tests = frozenset(
        node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    helpers = (helper.read_text() for helper in sorted(path.parent.glob("*.py")) if not helper.name.startswith("test_"))
    return "\n".join((text, *helpers)), tests


def _name(leaf: str) -> str:
    return leaf.rpartition(".")[2].rstrip("[]{}")


def _mentions(text: str, name: str) -> bool:
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return re.search(rf"\b({name}|{snake})\b", text) is not None


def _sets(tree: Any, steps: list[str]) -> bool:
    """Whether a manifest has a value at a path."""
    if not steps:
        return True
    name = steps[0].rstrip("[]{}")
    if not isinstance(tree, dict) or tree.get(name) is None:
        return False
    value = tree[name]
    if steps[0].endswith("[]"):
        return any(_sets(item, steps[1:]) for item in value)
    return _sets(value, steps[1:])


@pytest.mark.parametrize("kind", SEEN)
def test_every_named_test_is_there_and_names_its_leaf(kind: str) -> None:
    """A case of the table of given things sets the very leaf; any other test's file at least speaks of it."""
    wrong = []
    for leaf in leaves(kind):
        line = line_of(leaf, SEEN[kind])
        gap = line_of(leaf, _whole(kind))
        if line is None or leaf in DROPPED.get(kind, ()) or (gap is not None and len(gap) > len(line)):
            continue
        file, _, test = SEEN[kind][line].partition("::")
        function, _, case = test.partition("[")
        text, tests = _file(file)
        if function not in tests:
            wrong.append(f"{leaf}: {file} has no {function}")
        elif case:
            manifest = CASES.get(case.rstrip("]"))
            place = re.sub(r"^spec\.(init|ephemeral)Containers", "spec.containers", leaf)
            if manifest is None or not _sets(manifest, place.split(".")):
                wrong.append(f"{leaf}: the case {case.rstrip(']')} does not set it")
        elif not _mentions(text, _name(line if file.startswith(REFUSALS) else leaf)):
            wrong.append(f"{leaf}: {file} does not speak of it")
    assert wrong == []


def test_policies_are_tried_with_every_field() -> None:
    """The table of policies that are tried on two nodes sets each leaf of a NetworkPolicy's specification."""
    tried = [{"spec": spec} for specs in cases_of_policies(IPV4).values() for spec in specs]
    missing = []
    for leaf in leaves("NetworkPolicy"):
        steps = leaf.removesuffix("{}").split(".")
        if not any(_sets(tree, steps) for tree in tried):
            missing.append(leaf)
    assert missing == []


def test_the_walk_finds_what_it_should() -> None:
    """The walk itself: leaves in lists, maps and structs; a line covers what is below it and no namesake."""
    found = leaves("Pod")
    assert len(found) == len(set(found)) > 800
    assert {"spec.nodeSelector{}", "spec.containers[].args[]", "spec.hostname"} <= set(found)
    assert covers("spec.a", "spec.a[].b")
    assert not covers("spec.host", "spec.hostname")
    assert line_of("spec.a.b", {"spec.a": "", "spec.a.b": ""}) == "spec.a.b"
