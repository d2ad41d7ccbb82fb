"""Whether this machine speaks both address families, for tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

from podling.linux.families import IPV4, IPV6

_DISABLED = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")

needs_ipv6 = pytest.mark.skipif(
    not _DISABLED.exists() or _DISABLED.read_text().strip() != "0", reason="this machine has no IPv6"
)
each_family = pytest.mark.parametrize(
    "family", [pytest.param(IPV4, id="IPv4"), pytest.param(IPV6, id="IPv6", marks=needs_ipv6)]
)
"""Runs a test for either family, as its argument `family`."""
