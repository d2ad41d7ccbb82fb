"""Addresses as objects write them, in the one form in which they are compared."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.validation.addresses import canonical


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
