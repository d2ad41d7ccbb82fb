"""Label and field selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api import selectors
from podling.api.field_selectors import parse_fields
from podling.api.selectors import EVERYTHING, NOTHING, from_label_selector, from_labels, parse
from podling.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("", {"x": "y"}, True),
        ("x=y", {"x": "y"}, True),
        ("x=y", {"x": "z"}, False),
        ("x==y,z=w", {"x": "y", "z": "w"}, True),
        ("x!=y,z!=w", {"x": "z", "z": "a"}, True),
        ("x!=y", {}, True),
        ("notin=in", {"notin": "in"}, True),
        ("x", {"x": "z"}, True),
        ("!x", {"y": "z"}, True),
        ("!x", {"x": "z"}, False),
        ("x in (a, b)", {"x": "b"}, True),
        ("x in (a,b)", {}, False),
        ("x notin (a,b)", {}, True),
        ("x notin (a,b)", {"x": "a"}, False),
        ("x in ()", {"x": ""}, True),
        ("x in (a,,b)", {"x": ""}, True),
        ("x=", {"x": ""}, True),
        ("x>1", {"x": "2"}, True),
        ("x>1", {"x": "1"}, False),
        ("x<7", {"x": "6"}, True),
        ("x<7", {"x": "a"}, False),
        ("a.io/b in (in,notin)", {"a.io/b": "in"}, True),
    ],
)
def test_labels_match_as_upstream_says(text: str, labels: dict[str, str], matches: bool) -> None:
    """The string form selects what upstream's does."""
    assert parse(text).matches(labels) is matches


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x=a||y=b", 'unable to parse requirement: values[0][x]: Invalid value: "a||y": a valid label must be'),
        ("x==a==b", "found '==', expected: ',' or 'end of string'"),
        ("!x=a", "found '=', expected: ',' or 'end of string'"),
        ("x in a", "unable to parse requirement: found 'a' expected: '('"),
        ("x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"),
        ("x,", "found '', expected: identifier after ','"),
        (",x", "found ',', expected: !, identifier, or 'end of string'"),
        ("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("x>a", "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("a/b/c=d", 'unable to parse requirement: <nil>: Invalid value: "a/b/c": a valid label key must consist'),
    ],
)  # fmt: skip
def test_malformed_label_selectors_are_refused_as_upstream_words_it(text: str, why: str) -> None:
    """The parser's own sentences."""
    with pytest.raises(ValueError, match=".") as refused:
        parse(text)
    assert str(refused.value).startswith(why)


def test_a_selector_reads_back_as_itself() -> None:
    """The text of a selector is canonical: sorted by key, values sorted."""
    text = "a,b in (x,y),!c,d!=e,f>1"
    assert str(parse("f>1, d != e,!c,b in (y,x),a")) == str(parse(text)) == "a,b in (x,y),!c,d!=e,f>1"
    assert parse(str(parse(text))) == parse(text)


def test_the_struct_form_selects_alike() -> None:
    """None selects nothing, the empty struct everything, the rest what its string form would."""
    assert from_label_selector(None) == NOTHING
    assert not NOTHING.matches({})
    assert from_label_selector(LabelSelector()) == EVERYTHING
    struct = LabelSelector(
        match_labels={"a": "b"},
        match_expressions=(
            LabelSelectorRequirement(key="c", operator="NotIn", values=("d",)),
            LabelSelectorRequirement(key="e", operator="Exists"),
        ),
    )
    assert str(from_label_selector(struct)) == "a=b,c notin (d),e"
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        from_label_selector(LabelSelector(match_expressions=(LabelSelectorRequirement(key="c", operator="Near"),)))
    assert from_labels({"b": "1", "a": "2"}).required_value("a") == "2"
    assert parse("a in (x,y)").required_value("a") is None


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
)
def test_equal_labels_are_a_subset(wanted: dict[str, str], labels: dict[str, str]) -> None:
    """The fast path of plain maps agrees with the requirements one by one."""
    selector = from_labels(wanted)
    assert (
        selector.matches(labels)
        == (wanted.items() <= labels.items())
        == all(r.matches(labels) for r in selector.requirements)
    )


def test_fields_match_and_escape() -> None:
    """Absent fields are empty; a backslash escapes comma, equals sign and itself."""
    selector = parse_fields("metadata.name=a,status.phase!=Running,spec.nodeName==")
    assert selector.matches({"metadata.name": "a", "status.phase": "Pending"})
    assert not selector.matches({"metadata.name": "a", "status.phase": "Running"})
    assert not selector.matches({"metadata.name": "a", "spec.nodeName": "n"})
    assert selector.required_value("metadata.name") == "a"
    assert selector.required_value("status.phase") is None
    escaped = parse_fields(r"a=x\,y\=z\\")
    assert escaped.matches({"a": "x,y=z\\"})
    assert parse_fields(str(escaped)) == escaped
    assert parse_fields("").empty


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
    ],
)
def test_malformed_field_selectors_are_refused(text: str, why: str) -> None:
    """As upstream words it."""
    with pytest.raises(ValueError, match=".") as refused:
        parse_fields(text)
    assert str(refused.value) == why


def test_requirements_are_checked() -> None:
    """All that is wrong is told at once."""
    with pytest.raises(ValueError, match="values set can't be empty"):
        selectors.requirement("a", selectors.IN, ())
    with pytest.raises(ValueError, match=r"^\[key: Invalid value: .*, values: Invalid value: "):
        selectors.requirement("-a", selectors.EXISTS, ("x",))
