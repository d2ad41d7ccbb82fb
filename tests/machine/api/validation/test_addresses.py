"""Addresses as objects write them, in the one form in which they are compared."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.validation.addresses import canonical, parse_network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.244.0.9", "10.244.0.9"),
        ("010.244.0.09", "10.244.0.9"),
        ("FD00:10:244:0::9", "fd00:10:244::9"),
        ("fd00:10:244:0:0:0:0:9", "fd00:10:244::9"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),  # no address of an object
        ("None", "None"),
        ("", ""),
        ("10.0.0.1\n", "10.0.0.1\n"),
    ],
)
def test_an_address_has_one_form(text: str, expected: str) -> None:
    assert canonical(text) == expected


@given(st.ip_addresses())
def test_it_is_the_kernels(address: object) -> None:
    """What is told of connections is compared with what objects say."""
    text = str(address)
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    told = socket.inet_ntop(family, socket.inet_pton(family, text))
    assert canonical(told) == canonical(text) and ("." in told or canonical(text) == told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("010.00.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:10.0.0.0/64", "::/64"),  # more than what is dressed
        ("::/0", "::/0"),
        ("fd00::1/64", "fd00::/64"),
        ("fe80::1%eth0/64", None),
        ("10.0.0.0/33", None),
        ("10.0.0.0", None),
    ],
)
def test_a_range_is_of_the_family_that_its_addresses_are_of(text: str, expected: str | None) -> None:
    """As upstream reads it: rules about IPv4 callers hold for them, however they were written."""
    found = parse_network(text)
    assert (str(found[1]) if found is not None else None) == expected
    assert found is None or found[0] in found[1]
