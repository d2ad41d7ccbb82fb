"""The seccomp profile of a container, where it has one.

Owns reading a `Localhost` profile, which has the runtime specification's form, and whether this kernel filters at all.
What `RuntimeDefault` allows is `default_profile`'s. Invariant: no container starts without the profile it asks for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podling.runtime.oci.default_profile import runtime_default
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from podling.runtime.protocol import Security

_LIMIT = 4 << 20
_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")


def profile(security: Security, capabilities: Collection[str]) -> Mapping[str, Any] | None:
    """Return what the container's calls are filtered by; `RuntimeFailure` where that cannot be had."""
    if security.seccomp in {"", "Unconfined"} or security.privileged:
        return None
    if security.seccomp == "RuntimeDefault":
        return runtime_default(capabilities, os.uname().machine) if _ACTIONS.exists() else None
    if not _ACTIONS.exists():
        raise RuntimeFailure("CreateContainerError", "seccomp is not supported, cannot set profile")
    return _read(security.seccomp)


def _read(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = json.loads(file.read(_LIMIT))
        if not isinstance(content, dict) or not isinstance(content.get("defaultAction"), str):
            raise ValueError("not a seccomp profile")  # noqa: TRY004  # told to a user, not a programmer
    except OSError as error:
        raise _unreadable(path, f"open {path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise _unreadable(path, f"decoding seccomp profile failed: {error}") from error
    return content


def _unreadable(path: str, why: str) -> RuntimeFailure:
    message = f'failed to create containerd container: cannot load seccomp profile "{path}": {why}'
    return RuntimeFailure("CreateContainerError", message)
