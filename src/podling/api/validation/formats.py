"""Formats of text and numbers, as functions that say what is wrong; nothing is wrong with ().

The forms of names are `api.names`'s; here they are made cheap to ask for again and again, and joined by the few forms
that only validation knows. Must not know fields: the caller says where the text stands.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from podling.api import names
from podling.api.names import out_of_range, too_long, unlike

if TYPE_CHECKING:
    from collections.abc import Callable

Complaints = tuple[str, ...]

NOT_NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"

_LABEL_UNDERSCORE = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE = rf"{_LABEL_UNDERSCORE}(\.{_LABEL_UNDERSCORE})*"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_is_http_path = re.compile(_HTTP_PATH).fullmatch
_is_subdomain_underscore = re.compile(_SUBDOMAIN_UNDERSCORE).fullmatch


def _remembered(judge: Callable[[str], list[str]]) -> Callable[[str], Complaints]:
    return functools.lru_cache(maxsize=4096)(lambda text: tuple(judge(text)))


dns_label = _remembered(names.is_dns1123_label)
dns_subdomain = _remembered(names.is_dns1123_subdomain)
dns_1035_label = _remembered(names.is_dns1035_label)
qualified_name = _remembered(names.is_qualified_name)
wildcard_dns_subdomain = _remembered(names.is_wildcard_dns1123_subdomain)
label_value = _remembered(names.is_label_value)
config_key = _remembered(names.is_config_map_key)
environment_name = _remembered(names.is_relaxed_env_var_name)
percent = _remembered(names.is_percent)
port_name = _remembered(names.is_port_name)
http_header_name = _remembered(names.is_http_header_name)


@functools.lru_cache(maxsize=1024)
def dns_subdomain_underscore(text: str) -> Complaints:
    """A DNS search domain: a subdomain whose labels may begin with and contain `_`."""
    complaints = [too_long(253)] if len(text) > 253 else []
    if not _is_subdomain_underscore(text):
        complaints.append(
            unlike(
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
                "and must start and end with an alphanumeric character",
                _SUBDOMAIN_UNDERSCORE,
                "example.com",
            )
        )
    return tuple(complaints)


@functools.lru_cache(maxsize=1024)
def path_segment(text: str) -> Complaints:
    """A name that only has to fit into a URL's path, as RBAC's names do."""
    if text in {".", ".."}:
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{character}'" for character in "/%" if character in text)


def domain_prefixed_key(text: str) -> Complaints:
    """A qualified name that must have its domain."""
    complaints = qualified_name(text)
    if complaints or "/" in text:
        return complaints
    return ('must be a domain-prefixed key (such as "acme.io/foo")',)


def path_of_domain(text: str) -> tuple[tuple[str, str], ...]:
    """A path behind a domain, as controllers are named; what is wrong, each with the part that it is wrong with."""
    domain, _, path = text.partition("/")
    if not domain or not path:
        return ((text, 'must be a domain-prefixed path (such as "acme.io/foo")'),)
    complaints = [(domain, complaint) for complaint in dns_subdomain(domain)]
    if not _is_http_path(path):
        complaints.append((path, f"Invalid path (regex used for validation is '{_HTTP_PATH}')"))
    return tuple(complaints)


def fully_qualified_domain(text: str) -> Complaints:
    """A domain of at least two labels; a dot may end it."""
    domain = text.removesuffix(".")
    complaints = dns_subdomain(domain)
    if complaints:
        return (",".join(complaints),)
    labels = domain.split(".")
    if len(labels) < 2:
        return ("should be a domain with at least two segments separated by dots",)
    return next(((",".join(dns_label(label)),) for label in labels if dns_label(label)), ())


def port_number(number: int) -> Complaints:
    return () if 1 <= number <= 65535 else (out_of_range(1, 65535),)


def user_or_group_id(number: int) -> Complaints:
    return () if 0 <= number <= 0xFFFFFFFF else (out_of_range(0, 0xFFFFFFFF),)


def file_mode(mode: int) -> Complaints:
    return () if 0 <= mode <= 0o777 else ("must be a number between 0 and 0777 (octal), both inclusive",)


def masked(prefix: str) -> str:
    """Return a generateName as if a suffix followed its trailing dash, so that it can be judged as a name."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
