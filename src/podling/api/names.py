"""Owns the forms of names: DNS labels and subdomains, qualified names, label values, port names, keys.

Each function returns what is wrong with a text, as upstream words it; an empty list means that nothing is. The verdicts
are remembered: the same few names are looked at over and over.
"""

from __future__ import annotations

import functools
import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_PERCENT: Final = "[0-9]+%"
_HEADER: Final = "[-A-Za-z0-9]+"

_LABEL_WORDS: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character"
)
_SUBDOMAIN_WORDS: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character"
)
_WILDCARD_WORDS: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_LABEL_1035_WORDS: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_QUALIFIED_WORDS: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_WORDS: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
_RELAXED_ENV_WORDS: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)
_CONFIG_KEY_WORDS: Final = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PERCENT_WORDS: Final = "a valid percent string must be a numeric string followed by an ending '%'"
_HEADER_WORDS: Final = "a valid HTTP header must consist of alphanumeric characters or '-'"

NON_EMPTY: Final = "must be non-empty"


def too_long(most: int) -> str:
    """Return upstream's sentence about a name that is too long; labels have one of their own."""
    return f"must be no more than {most} characters"


def _too_many_bytes(most: int) -> str:
    return f"must be no more than {most} bytes"


def out_of_range(least: int, most: int) -> str:
    """Return upstream's sentence about a number outside an inclusive range."""
    return f"must be between {least} and {most}, inclusive"


def unlike(words: str, pattern: str, *examples: str) -> str:
    """Return upstream's sentence about text that a pattern does not match."""
    given = " or ".join(f"'{example}', " for example in examples)
    return f"{words} (e.g. {given}regex used for validation is '{pattern}')"


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


@functools.lru_cache(maxsize=8192)
def _dns1123_label(value: str) -> tuple[str, ...]:
    wrong = (too_long(63),) if _length(value) > 63 else ()
    if re.fullmatch(_LABEL, value):
        return wrong
    if re.fullmatch(_SUBDOMAIN, value):
        return (*wrong, "must not contain dots")
    return (*wrong, unlike(_LABEL_WORDS, _LABEL, "my-name", "123-abc"))


def is_dns1123_label(value: str) -> list[str]:
    """Judge what names namespaces, containers and volumes."""
    return list(_dns1123_label(value))


@functools.lru_cache(maxsize=8192)
def _dns1123_subdomain(value: str) -> tuple[str, ...]:
    wrong = (too_long(253),) if _length(value) > 253 else ()
    return wrong if re.fullmatch(_SUBDOMAIN, value) else (*wrong, unlike(_SUBDOMAIN_WORDS, _SUBDOMAIN, "example.com"))


def is_dns1123_subdomain(value: str) -> list[str]:
    """Judge what names most objects."""
    return list(_dns1123_subdomain(value))


def is_wildcard_dns1123_subdomain(value: str) -> list[str]:
    """Judge a subdomain behind `*.`, as Ingress hosts may be."""
    wrong = [too_long(253)] if _length(value) > 253 else []
    if not (value.startswith("*.") and re.fullmatch(_SUBDOMAIN, value[2:])):
        wrong.append(unlike(_WILDCARD_WORDS, rf"\*\.{_SUBDOMAIN}", "*.example.com"))
    return wrong


def is_dns1035_label(value: str) -> list[str]:
    """Judge what names Services: a label that starts with a letter."""
    wrong = [too_long(63)] if _length(value) > 63 else []
    if not re.fullmatch(_LABEL_1035, value):
        wrong.append(unlike(_LABEL_1035_WORDS, _LABEL_1035, "my-name", "abc-123"))
    return wrong


@functools.lru_cache(maxsize=8192)
def _qualified_name(value: str) -> tuple[str, ...]:
    wrong: list[str] = []
    prefix, slash, name = value.rpartition("/")
    if value.count("/") > 1:
        sentence = unlike(_QUALIFIED_WORDS, _QUALIFIED, "MyName", "my.name", "123-abc")
        return (
            f"a valid label key {sentence} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        )
    if slash:
        if not prefix:
            wrong.append(f"prefix part {NON_EMPTY}")
        else:
            if _length(prefix) > 253:
                wrong.append(f"prefix part {_too_many_bytes(253)}")
            if not re.fullmatch(_SUBDOMAIN, prefix):
                wrong.append("prefix part " + unlike(_SUBDOMAIN_WORDS, _SUBDOMAIN, "example.com"))
    if not name:
        wrong.append(f"name part {NON_EMPTY}")
    elif _length(name) > 63:
        wrong.append(f"name part {_too_many_bytes(63)}")
    if not re.fullmatch(_QUALIFIED, name):
        wrong.append("name part " + unlike(_QUALIFIED_WORDS, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return tuple(wrong)


def is_qualified_name(value: str) -> list[str]:
    """Judge what keys labels, annotations, taints and resources: a name, with a DNS prefix or without."""
    return list(_qualified_name(value))


@functools.lru_cache(maxsize=8192)
def _label_value(value: str) -> tuple[str, ...]:
    wrong = (_too_many_bytes(63),) if _length(value) > 63 else ()
    if re.fullmatch(_LABEL_VALUE, value):
        return wrong
    return (*wrong, unlike(_LABEL_VALUE_WORDS, _LABEL_VALUE, "MyValue", "my_value", "12345"))


def is_label_value(value: str) -> list[str]:
    """Judge the value of a label; it may be empty."""
    return list(_label_value(value))


def is_port_name(port: str) -> list[str]:
    """Judge the name of a port, an IANA service name."""
    wrong = [too_long(15)] if _length(port) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", port):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", port):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in port:
        wrong.append("must not contain consecutive hyphens")
    if port.startswith("-") or port.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def is_relaxed_env_var_name(value: str) -> list[str]:
    """Judge the name of an environment variable as newer releases do: printable ASCII without `=`."""
    wrong = [f"environment variable name {NON_EMPTY}"] if not value else []
    if any(not " " <= char <= "~" or char == "=" for char in value):
        wrong.append(_RELAXED_ENV_WORDS)
    return wrong


def is_config_map_key(value: str) -> list[str]:
    """Judge a key of a ConfigMap or Secret, which becomes the name of a file."""
    wrong = [too_long(253)] if _length(value) > 253 else []
    if not re.fullmatch(_CONFIG_KEY, value):
        wrong.append(unlike(_CONFIG_KEY_WORDS, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return wrong + _directory_signs(value)


def is_percent(value: str) -> list[str]:
    """Judge a percentage such as `25%`."""
    return [] if re.fullmatch(_PERCENT, value) else [unlike(_PERCENT_WORDS, _PERCENT, "1%", "93%")]


def is_http_header_name(value: str) -> list[str]:
    """Judge the name of an HTTP header."""
    return [] if re.fullmatch(_HEADER, value) else [unlike(_HEADER_WORDS, _HEADER, "X-Header-Name")]


def _directory_signs(value: str) -> list[str]:
    if value in {".", ".."}:
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []
