"""Owns the words in which Go's JSON scanner refuses a document.

Asked only about documents that were already refused, so it is written for its sentences, not for speed.
"""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_DIGITS: Final = re.compile(rb"[0-9]*")
_PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f]*')
_ESCAPES: Final = b'bfnrt\\/"'
_HEX: Final = b"0123456789abcdefABCDEF"
_LITERALS: Final = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_QUOTED: Final = {ord("'"): r"\'", ord('"'): '"', ord("\\"): r"\\", 9: r"\t", 10: r"\n", 13: r"\r", 7: r"\a", 8: r"\b"}
_QUOTED_MORE: Final = {11: r"\v", 12: r"\f"}

END: Final = "unexpected end of JSON input"


class _Refused(Exception):
    """Carries the sentence."""


def syntax_error(data: bytes) -> str | None:
    """Return the sentence with which Go refuses a document, or None for one that it reads."""
    try:
        _document(data)
    except _Refused as refused:
        return str(refused)
    except IndexError:
        return END
    return None


def _wrong(char: int, context: str) -> _Refused:
    text = _QUOTED.get(char) or _QUOTED_MORE.get(char)
    if text is None:
        text = f"\\x{char:02x}" if char < 32 or char == 127 else f"\\u{char:04x}" if 128 <= char < 161 else chr(char)
    return _Refused(f"invalid character '{text}' {context}")


def _skip(data: bytes, at: int) -> int:
    found = _SPACE.match(data, at)
    return found.end() if found else at


def _document(data: bytes) -> None:
    """Walk the document with a stack of open brackets; running off its end raises IndexError."""
    stack: list[int] = []
    at = _skip(data, 0)
    expect_value = True
    while True:
        if expect_value:
            char = data[at]
            if char in b"{[":
                stack.append(char)
                at = _skip(data, at + 1)
                if char == ord("{") and data[at] != ord("}"):
                    at = _key(data, at)
                    continue
                if char == ord("[") and data[at] != ord("]"):
                    continue
                stack.pop()
                at += 1
            else:
                at = _scalar(data, at)
        if not stack:
            at = _skip(data, at)
            if at < len(data):
                raise _wrong(data[at], "after top-level value")
            return
        at = _skip(data, at)
        char = data[at]
        expect_value = True
        if stack[-1] == ord("{"):
            if char == ord(","):
                at = _key(data, _skip(data, at + 1))
                continue
            if char != ord("}"):
                raise _wrong(char, "after object key:value pair")
        else:
            if char == ord(","):
                at = _skip(data, at + 1)
                continue
            if char != ord("]"):
                raise _wrong(char, "after array element")
        stack.pop()
        at += 1
        expect_value = False


def _key(data: bytes, at: int) -> int:
    if data[at] != ord('"'):
        raise _wrong(data[at], "looking for beginning of object key string")
    at = _skip(data, _string(data, at))
    if data[at] != ord(":"):
        raise _wrong(data[at], "after object key")
    return _skip(data, at + 1)


def _scalar(data: bytes, at: int) -> int:
    char = data[at]
    if char == ord('"'):
        return _string(data, at)
    if char in b"-0123456789":
        return _number(data, at)
    word = _LITERALS.get(char)
    if word is None:
        raise _wrong(char, "looking for beginning of value")
    for offset in range(1, len(word)):
        if data[at + offset] != word[offset]:
            expecting = f"in literal {word.decode()} (expecting '{chr(word[offset])}')"
            raise _wrong(data[at + offset], expecting)
    return at + len(word)


def _string(data: bytes, at: int) -> int:
    at += 1
    while True:
        found = _PLAIN.match(data, at)
        at = found.end() if found else at
        char = data[at]
        if char == ord('"'):
            return at + 1
        if char != ord("\\"):
            raise _wrong(char, "in string literal")
        escape = data[at + 1]
        at += 2
        if escape == ord("u"):
            for _ in range(4):
                if data[at] not in _HEX:
                    raise _wrong(data[at], "in \\u hexadecimal character escape")
                at += 1
        elif escape not in _ESCAPES:
            raise _wrong(escape, "in string escape code")


def _number(data: bytes, at: int) -> int:
    if data[at] == ord("-"):
        at += 1
        if data[at] not in b"0123456789":
            raise _wrong(data[at], "in numeric literal")
    at = at + 1 if data[at] == ord("0") else _digits(data, at, "in numeric literal")
    if data[at : at + 1] == b".":
        at = _digits(data, at + 1, "after decimal point in numeric literal")
    if data[at : at + 1] in {b"e", b"E"}:
        at += 1
        if data[at] in b"+-":
            at += 1
        at = _digits(data, at, "in exponent of numeric literal")
    return at


def _digits(data: bytes, at: int, context: str) -> int:
    if data[at] not in b"0123456789":
        raise _wrong(data[at], context)
    found = _DIGITS.match(data, at)
    return found.end() if found else at
