"""Completion indexes as Jobs write them, and their arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.indexes import Indexes, parse, read

SETS = st.frozensets(st.integers(0, 40))


@pytest.mark.parametrize(
    ("indexes", "text"),
    [((), ""), ((3,), "3"), ((1, 2), "1,2"), ((1, 2, 3), "1-3"), ((5, 0, 3, 4, 7, 6, 9), "0,3-7,9")],
)
def test_the_form(indexes, text):
    """Ranges from three on, two neighbours apart, in ascending order whatever order they came in."""
    assert str(Indexes().with_all(indexes)) == text


@given(SETS, SETS)
def test_it_is_a_set(some, others):
    """What is written is read again; union, intersection, membership and what is missing are those of sets."""
    one, other = Indexes().with_all(some), Indexes().with_all(others)
    assert read(str(one), 100) == parse(str(one), 100) == one
    assert (len(one), bool(one)) == (len(some), bool(some))
    assert one | other == Indexes().with_all(some | others)
    assert one & other == Indexes().with_all(some & others)
    assert {index for index in range(50) if index in one} == some
    assert list(one.missing(30)) == [index for index in range(30) if index not in some]


def test_a_status_is_read_as_far_as_it_goes():
    """Parts that are none, and indexes beyond the completions, are passed over."""
    assert str(read("0,x,2-9,12", 5)) == "0,2-4"


REFUSED = [
    ("a", 'cannot convert string to integer for index: "a"'),
    ("1-", 'cannot convert string to integer for index: ""'),
    ("3,2", "non-increasing order, previous: 3, current: 2"),
    ("3-3", "non-increasing order, previous: 3, current: 3"),
    ("1-3,3", "non-increasing order, previous: 3, current: 3"),
    ("10", 'too large index: "10"'),
    ("1-10", 'too large index: "10"'),
    ("1-2-3", ('the fragment "1-2-3" violates the requirement that an index interval can have at most two parts '
     "separated by '-'")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_somebody_wrote_is_judged(text, why):
    with pytest.raises(ValueError) as refused:
        parse(text, 10)
    assert str(refused.value) == why
