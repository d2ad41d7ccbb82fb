"""The machine's settings: the last instance to go puts back what the first one found."""

from __future__ import annotations

from pathlib import Path

import pytest

from podling.linux import namespaces
from podling.network import sysctls


def test_what_was_found_first_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes a setting, how often and in which order; what is as wanted, or not there, is left alone."""
    machine = {"net.a": "0", "net.b": "1"}
    monkeypatch.setattr(namespaces, "read_sysctl", machine.get)
    monkeypatch.setattr(namespaces, "write_sysctl", machine.__setitem__)
    sysctls.change(tmp_path, "net.b", "1")
    sysctls.change(tmp_path, "net.none", "1")
    sysctls.change(tmp_path, "net.a", "7")
    sysctls.change(tmp_path, "net.a", "7")
    sysctls.change(tmp_path, "net.a", "9")
    assert machine == {"net.a": "9", "net.b": "1"}
    sysctls.change(tmp_path, "net.b", "2")
    del machine["net.b"]  # as a link's setting goes with the link
    sysctls.put_back(tmp_path)
    assert machine == {"net.a": "0"}
    machine["net.b"] = "1"
    sysctls.put_back(tmp_path)
    assert machine == {"net.a": "0", "net.b": "1"}
