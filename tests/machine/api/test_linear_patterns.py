"""Regular expressions that are searched for in time that grows with the text: they find what Python's engine finds."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from podling.api.custom.linear import Pattern
from podling.api.custom.patterns import compiled

ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", r"\s", "^", r"\Z", r"\b", r"\B", r"\A", "é", "(?i:A)", "(?s:.)", ""]
)
COUNTS = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, COUNTS).map(lambda two: f"({two[0]}){two[1]}"),
        inner.map(lambda one: f"(?m:{one})"),
    )


PATTERNS = st.recursive(ATOMS, grown, max_leaves=6)


@given(PATTERNS, st.text("abA1_ é\n", max_size=8))
def test_it_finds_what_pythons_engine_finds(pattern, text):
    # Python's engine sees no place in an empty text that is within a word or without; Go's does.
    assume(text or r"\B" not in pattern)
    assert Pattern(pattern).search(text) == (re.search(pattern, text, re.ASCII) is not None)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(a|aa)+$", "(.*a){20}$", "a*a*a*a*a*b", "(?:a?){30}a{30}b"])
def test_no_pattern_is_slow(pattern):
    """Each of these takes Python's engine longer than anybody lives."""
    assert not compiled(pattern).search("a" * 3000 + "!")


def test_what_is_remembered_has_a_bound():
    """A pattern with a state for each of 2^15 histories stays right while it forgets them."""
    text = format(0x5DEECE66D**200, "b").replace("0", "b").replace("1", "a")
    pattern = compiled("a[ab]{14}c")
    assert not pattern.search(text)
    assert pattern._remembered <= 20_000 + 100
    assert pattern.search(text + "a" + "b" * 14 + "c")


@pytest.mark.parametrize(
    "pattern",
    [
        "(?<=a)b", "(?=a)", r"(a)\1", "(?>a)", "a++", "a{1001}", "(a{40}){40}", "a{99999999999999999999}",
        "[" * 200_000,
        "[" * 200_000 + "\\",
        "(" * 5000 + "a" + ")" * 5000, "(abcdefghijklmnopqrstuvwxyz){1000}", "(", "[",
    ],
)  # fmt: skip
def test_what_cannot_be_read(pattern):
    """Neither can Go's engine, but for some that are too large."""
    with pytest.raises(re.error):
        compiled(pattern)
