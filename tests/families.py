"""Whether this machine speaks both address families, for tests that need them."""

from __future__ import annotations

import pytest

from podling.linux.families import IPV4, IPV6, has_family

needs_ipv6 = pytest.mark.skipif(not has_family(IPV6), reason="this machine has no IPv6")
each_family = pytest.mark.parametrize(
    "family", [pytest.param(IPV4, id="IPv4"), pytest.param(IPV6, id="IPv6", marks=needs_ipv6)]
)
"""Runs a test for either family, as its argument `family`."""
