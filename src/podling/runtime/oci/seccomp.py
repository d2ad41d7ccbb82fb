"""The seccomp profile of a container, where it has one.

Owns reading a `Localhost` profile. `RuntimeDefault` has no profile of Podling's own yet and is unconfined, which the
table of gaps says aloud.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.runtime.protocol import Security


def profile(security: Security) -> Mapping[str, Any] | None:
    """Return the profile to put into the specification; `RuntimeFailure` where a named one cannot be read."""
    if security.seccomp in {"", "Unconfined", "RuntimeDefault"} or security.privileged:
        return None
    try:
        content = json.loads(Path(security.seccomp).read_bytes())
    except (OSError, ValueError) as error:
        raise RuntimeFailure(
            "CreateContainerError", f"cannot load seccomp profile {security.seccomp!r}: {error}"
        ) from error
    if not isinstance(content, dict):
        raise RuntimeFailure("CreateContainerError", f"seccomp profile {security.seccomp!r} is no object")
    return content
