"""Whether this machine confines processes by AppArmor, and by which profiles.

Owns where the kernel says so. `system` is where its files are, `/sys` but in tests.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

_SYSTEM: Final = Path("/sys")


@functools.cache
def apparmor(system: Path = _SYSTEM) -> bool:
    """Whether AppArmor is there and on; it cannot be switched on or off while the machine runs."""
    return _text(system / "module/apparmor/parameters/enabled").startswith("Y")


def apparmor_profile_loaded(name: str, system: Path = _SYSTEM) -> bool:
    """Whether a profile of this name is loaded: only then can a process be put under it."""
    lines = _text(system / "kernel/security/apparmor/profiles").splitlines()
    return any(line.rpartition(" (")[0] == name for line in lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
