r"""Regular expressions of Go's syntax, as schemas have them, in Python's.

The two differ in what `$`, `\z` and the classes of letters mean; what Python cannot read raises `re.error`. They are
searched for by an engine of our own (`linear.py`), for which there are no slow patterns.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from podling.api.custom.linear import Pattern

_TOKEN: Final = re.compile(r"\\z|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*+(?:\]|\\?\Z)|\$|\(\?P?<(?=\w)|.", re.DOTALL)
_SPECIAL: Final = re.compile(r"(?<!\\)[\[&~|]")
_CLASSES: Final = {
    "[:alnum:]": "0-9A-Za-z",
    "[:alpha:]": "A-Za-z",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:upper:]": "A-Z",
    "[:space:]": r"\s",
    "[:word:]": r"\w",
    "[:xdigit:]": "0-9A-Fa-f",
}


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> Pattern:
    """Return what searches for a pattern of Go's; `re.error` for what cannot be read."""
    return Pattern(_TOKEN.sub(_translated, pattern))


def _translated(found: re.Match[str]) -> str:
    token = found[0]
    if token in {"$", r"\z"}:
        return r"\Z"
    if token.startswith("(?<"):
        return "(?P<"
    if token.startswith("["):
        for name, characters in _CLASSES.items():
            token = token.replace(name, characters)
        # Python keeps these for sets of sets, and warns of them.
        token = "[" + _SPECIAL.sub(r"\\\g<0>", token[1:])
    return token
