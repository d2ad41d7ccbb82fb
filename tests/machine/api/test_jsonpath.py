"""Paths into objects, as definitions of columns and scales have them."""

from __future__ import annotations

import pytest

from podling.api.jsonpath import Path

TREE = {
    "metadata": {"annotations": {"a.b/c": "x"}},
    "spec": {"list": [{"n": 1}, {"n": 2}], "on": True},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Synced", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (".spec.on", [True]),
        ("{.spec.on}", [True]),
        (".spec.off", []),
        (".spec.list[1].n", [2]),
        (".spec.list[-1].n", [2]),
        (".spec.list[5].n", []),
        (".spec.list[*].n", [1, 2]),
        (".metadata.annotations['a.b/c']", ["x"]),
        (r".metadata.annotations.a\.b/c", ["x"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Synced')].status", ["False"]),
        ('.status.conditions[?(@.type!="Ready")].status', ["False"]),
        (".spec.list[?(@.n==2)].n", [2]),
    ],
)
def test_what_a_path_leads_to(text, found):
    assert Path(text).find(TREE) == found


def test_what_has_nothing_but_names():
    assert Path(".spec.replicas").fields == ("spec", "replicas")
    assert Path(".spec.list[0]").fields == ()


@pytest.mark.parametrize("text", ["spec", ".spec..x", ".spec[", ".spec[?(@.x)]", "."])
def test_what_is_no_path(text):
    with pytest.raises(ValueError, match="unreadable"):
        Path(text)


def test_hostile_quotes_take_no_time():
    """A quoted name that never ends is refused in one look, not in one for each way to read its escapes."""
    with pytest.raises(ValueError, match="unreadable"):
        Path(".spec['" + r"\a" * 500)
