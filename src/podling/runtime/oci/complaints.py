"""What a low-level runtime says when it cannot run a program, in upstream's words.

Owns the reading of crun's and runc's last lines. Pure; knows no container.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_MISSING = re.compile(r"executable file [`\"']?.*?[`\"']? ?not found in \$?PATH", re.DOTALL)
_PROCESS = "unable to start container process: "
_REFUSALS = {
    "permission denied": "permission denied",
    "operation not permitted": "permission denied",
    "is a directory": "permission denied",
    "no such file or directory": "no such file or directory",
    "exec format error": "exec format error",
}


def explain(text: str, name: str) -> str:
    """Return a low-level runtime's complaint in upstream's words, as events and clients show them."""
    lines = [line for line in text.splitlines() if line.strip()]
    text = lines[-1].strip() if lines else "no reason was given"
    quoted = _QUOTED.search(text)
    if quoted:
        text = quoted.group(1).replace('\\"', '"')
    if _MISSING.search(text) or (name and name in text and "not found" in text):
        if "/" in name:
            return f'{_PROCESS}exec: "{name}": stat {name}: no such file or directory: unknown'
        return f'{_PROCESS}exec: "{name}": executable file not found in $PATH: unknown'
    if name and (name in text or "executable" in text):
        for said, refusal in _REFUSALS.items():
            if said in text.lower():
                stat = f"stat {name}: " if refusal.startswith("no such") else ""
                return f'{_PROCESS}exec: "{name}": {stat}{refusal}: unknown'
    return f"{_PROCESS}{text.rpartition(_PROCESS)[2]}: unknown"
