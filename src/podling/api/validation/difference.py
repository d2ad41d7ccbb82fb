"""What differs between two specifications, as text for a refusal.

Upstream prints the difference of its Go values here; what matters to a reader is which fields differ and how. Fields
that Go cannot tell from absent (false, zero and empty ones that are no pointers) count as absent.
"""

from __future__ import annotations

import json
from typing import Any

from podling.api import codec

_ZERO_IS_ABSENT = {
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "stdin",
    "stdinOnce",
    "tty",
    "readOnly",
    "hostPort",
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "partition",
    "chapAuthDiscovery",
    "chapAuthSession",
    "lun",
}


def comparable(struct: object) -> Any:
    """Return a struct as a tree in which equal means equal to upstream."""
    return _stripped(codec.to_tree(struct))


def _stripped(tree: Any) -> Any:
    if isinstance(tree, dict):
        done = {}
        for name, value in tree.items():
            if not value and (value is None or value in ("", [], {}) or name in _ZERO_IS_ABSENT):
                continue
            kept = _stripped(value)
            if not (isinstance(kept, dict) and not kept and isinstance(value, dict) and name == "resources"):
                done[name] = kept
        return done
    if isinstance(tree, list):
        return [_stripped(item) for item in tree]
    return tree


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return a line for each value that was (`-`) and each that would be (`+`)."""
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for name in [*old, *(name for name in new if name not in old)]:
            lines += differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
        return lines
    if isinstance(old, list) and isinstance(new, list):
        lines = []
        for i in range(max(len(old), len(new))):
            was = old[i] if i < len(old) else None
            would_be = new[i] if i < len(new) else None
            lines += differences(was, would_be, f"{path}[{i}]")
        return lines
    lines = []
    if old is not None:
        lines.append(f"- {path}: {json.dumps(old, ensure_ascii=False)}")
    if new is not None:
        lines.append(f"+ {path}: {json.dumps(new, ensure_ascii=False)}")
    return lines
