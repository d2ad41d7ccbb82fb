"""The table of upstream's cases: each names tests that are there, and the page that is drawn from it says the same."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.clients.test_api_operations import KINDS, label
from tests.clients.test_custom_resources import TAKEN
from tests.conformance import NOT_SHOWN, SHOWN
from tests.e2e.test_given import FORBIDDEN_NAMES, GIVEN, MESSAGES, REFUSED
from tests.e2e.test_security import CASES

TESTS = Path(__file__).parents[1]
ROWS = {
    "test_a_pod_is_given_what_it_asks_for": {name for name, *_ in GIVEN},
    "test_a_container_leaves_a_message": {name for name, *_ in MESSAGES},
    "test_sub_paths_that_lead_out_are_refused": {name for name, *_ in REFUSED},
    "test_the_api_refuses_what_no_node_could_give": set(FORBIDDEN_NAMES),
    "test_a_container_may_do_this_and_not_that": {name for name, *_ in CASES},
    "test_kubectl_takes_what_a_schema_leaves_open": set(TAKEN),
    "test_a_kind_answers_to_every_verb": {label(kind) for kind in KINDS},
}
"""The rows of the tests whose cases are named."""


@functools.cache
def _tests(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(it.name for it in ast.walk(tree) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("section", SHOWN)
def test_every_named_test_is_there(section: str) -> None:
    """File, function and row."""
    wrong = []
    for name, tests in SHOWN[section].items():
        for test in (tests,) if isinstance(tests, str) else tests:
            file, function, row = re.fullmatch(r"([^:]+)::(\w+)(?:\[(.+)\])?", test).groups()  # type: ignore[union-attr]
            if function not in _tests(file) or (row is not None and row not in ROWS[function]):
                wrong.append(f"{name}: {test}")
    assert wrong == []


def test_no_case_is_both() -> None:
    """What is shown by a test is not said to be missing."""
    assert all(not SHOWN[section].keys() & missing.keys() for section, missing in NOT_SHOWN.items())
