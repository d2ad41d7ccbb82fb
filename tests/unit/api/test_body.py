"""Request bodies: what is read, what is found twice, what is refused and how."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api import gojson
from podling.api.body import DEEPEST, decode_body, decode_json, duplicate_fields
from podling.api.errors import StatusError

PREFIX = "the object provided is unrecognized (must be of type Pod): "


def refusal(data: bytes, content_type: str = "application/json") -> str:
    with pytest.raises(StatusError) as refused:
        decode_body(data, content_type, "Pod")
    assert refused.value.code == 400
    return refused.value.message


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"a":1', "unexpected end of JSON input"),
        (b"{not json}", "invalid character 'n' looking for beginning of object key string"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{} {}", "invalid character '{' after top-level value"),
        (b'{"a":trux}', "invalid character 'x' in literal true (expecting 'e')"),
        (b'{"a":"\n"}', "invalid character '\\n' in string literal"),
        (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
        (b'{"a":"\\u00g0"}', "invalid character 'g' in \\u hexadecimal character escape"),
        (b'{"a":-}', "invalid character '}' in numeric literal"),
        (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a":1e}', "invalid character '}' in exponent of numeric literal"),
        (b'{"a":01}', "invalid character '1' after object key:value pair"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
    ],
)
def test_malformed_json_is_refused_in_the_words_of_gos_scanner(data: bytes, why: str) -> None:
    """Each sentence of Go's scanner, behind upstream's prefix, with the head of the body."""
    message = refusal(data)
    assert message.startswith(f"{PREFIX}couldn't get version/kind; json parse error: {why} (")


def test_the_head_of_the_body_is_shown() -> None:
    """Objects as text, all else as hexadecimal digits, thirty bytes of it."""
    assert refusal(b"").endswith("(<empty>)")
    assert refusal(b"xy").endswith("(7879)")
    assert refusal(b"{" + b"a" * 40).endswith("({" + "a" * 29 + " ...)")


def test_what_is_no_object_is_refused() -> None:
    """Arrays, scalars and a kind that is no string."""
    assert "json: cannot unmarshal array into Go value of type struct { APIVersion" in refusal(b"[]")
    assert "json: cannot unmarshal number into Go struct field .kind of type string" in refusal(b'{"kind":5}')
    with pytest.raises(StatusError) as refused:
        decode_body(b"{}", "text/plain", "Pod")
    assert refused.value.code == 415


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 500 + b"]" * 500, b'{"a":' * 300 + b"1" + b"}" * 300]
)
def test_nesting_bombs_are_refused(data: bytes) -> None:
    """Depth costs neither the stack nor time."""
    with pytest.raises(ValueError, match="exceeded max depth|unexpected end"):
        decode_json(data)
    assert decode_json(b"[" * DEEPEST + b"]" * DEEPEST)


def test_large_malformed_bodies_are_refused_at_once() -> None:
    """The offset instead of Go's sentence: finding that would hold the server."""
    body = b"[" + b"1," * 100_000
    assert "unexpected end of JSON input" in refusal(body)
    assert "invalid character '}' at offset 200001" in refusal(body + b"}")


def test_text_that_is_no_unicode_is_mended() -> None:
    """Bad UTF-8 and halves of surrogate pairs become U+FFFD, as in Go; numbers beyond floats are refused."""
    assert decode_json(b'"a\xffb"') == "a\ufffdb"
    assert decode_json(b'"a\\ud800b"') == "a\ufffdb"
    assert decode_json(b'"\\ud83d\\ude00"') == "\U0001f600"
    with pytest.raises(ValueError, match="cannot unmarshal number"):
        decode_json(b"1e999")


def test_keys_given_twice_are_found_with_their_paths() -> None:
    """In any layout, once per key, and the last value counts."""
    body = decode_body(
        b'{"metadata":{"name":"a","name":"b"},"spec":{"containers":[{"image":"x" ,\n"image" : "y"}]}}',
        "application/json",
    )
    assert body.duplicates == ('duplicate field "metadata.name"', 'duplicate field "spec.containers[0].image"')
    assert body.tree["metadata"] == {"name": "b"}
    assert decode_body(b'{"a":"\\":\\":"}', "application/json").duplicates == ()
    assert decode_body(b'{"a":1,"a":2}', "application/json", strict=False).duplicates == ()
    assert decode_body(b'{"a":1,"a":2}', "application/json").sentences(("a",)) == ['unknown field "a"']


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(':" \\a', max_size=3),
        lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(':" a', max_size=2), s, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from([None, 1]),
)
def test_no_key_of_a_proper_document_is_called_twice(tree: object, indent: int | None) -> None:
    """Whatever stands in strings, and however it is laid out."""
    data = json.dumps(tree, indent=indent).encode()
    assert duplicate_fields(data, tree) == ()


@given(st.binary(max_size=12) | st.text('{}[]":,01.eE-+tfnulrasx \\', max_size=10).map(str.encode))
def test_the_scanner_refuses_exactly_what_is_no_json(data: bytes) -> None:
    """Our scanner and Python's parser agree on which documents are JSON."""
    try:
        json.loads(data.decode(), parse_constant=lambda name: 1 / 0)
        fine = True
    except (ValueError, ZeroDivisionError, UnicodeDecodeError):
        fine = False
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    if not data.startswith(b"\xef\xbb\xbf"):
        assert (gojson.syntax_error(data) is None) == fine


def test_yaml_is_read_as_gos_library_reads_it() -> None:
    """YAML 1.1 booleans, octal numbers, no dates or sexagesimals, keys as strings, merges."""
    text = b"""
a: yes
b: 010
c: 1:30
d: 2020-01-01
e: "yes"
f: 0x10
g: 1e3
h: !!str 5
1: one
on: x
i: ~
j: y
base: &b {x: 1, y: 2}
k: {<<: *b, x: 3}
"""
    tree = decode_body(text, "application/yaml").tree
    assert tree == {
        "a": True, "b": 8, "c": "1:30", "d": "2020-01-01", "e": "yes", "f": 16, "g": 1000.0, "h": "5",
        "1": "one", "true": "x", "i": None, "j": True, "base": {"x": 1, "true": 2}, "k": {"x": 3, "true": 2},
    }  # fmt: skip


def test_bad_yaml_is_refused_and_duplicates_are_told() -> None:
    """The line, in Go's words; bombs of aliases, self-containing anchors and depth are refused."""
    assert refusal(b"a: b: c", "application/yaml").startswith(PREFIX + "yaml: mapping values are not allowed")
    assert refusal(b"x: 1\na: b: c", "application/yaml").startswith(PREFIX + "yaml: line 2: mapping values are not")
    assert refusal(b"x:\n- 1\ny\n", "application/yaml").startswith(PREFIX + "yaml: line 4: could not find expected")
    assert decode_body(b"a: 80.0", "application/yaml").tree == {"a": 80}
    body = decode_body(b"a: 1\nb: 2\na: 3\n", "application/yaml")
    assert body.duplicates == ('yaml: unmarshal errors:\n  line 3: key "a" already set in map',)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "excessive aliasing" in refusal("\n".join(lines).encode(), "application/yaml")
    long_text = b"a: &a " + b"x" * 100_000 + b"\nb: [" + b"*a, " * 90 + b"]"
    assert "excessive aliasing" in refusal(long_text, "application/yaml")
    assert "contains itself" in refusal(b"a: &a [*a]", "application/yaml")
    assert "depth" in refusal(b"- " * 5000 + b"x", "application/yaml")
    for bomb in (b"[", b"{a: ", b"- ", b"? "):
        assert "depth" in refusal(bomb * 500_000, "application/yaml")
    assert refusal(b"- a", "application/yaml").startswith(PREFIX)
    assert len(decode_body(b"a: [" + b"x, " * 150_000 + b"]", "application/yaml").tree["a"]) == 150_000


@given(
    st.binary(max_size=30) | st.text("{}[]\"'&*!:-?,|>%@#~<= \n\tab01.exof_y+", max_size=30).map(str.encode),
    st.sampled_from(["application/json", "application/yaml"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, content_type: str) -> None:
    """Never another exception, whatever is sent; what is read can be written."""
    try:
        body = decode_body(data, content_type, "Pod")
    except StatusError as refused:
        assert refused.code == 400
    else:
        json.dumps(body.tree)
