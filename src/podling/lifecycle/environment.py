"""Expansion of `$(NAME)` in environment values, commands and arguments.

Owns the syntax: `$(NAME)` is the value of a variable that is known, `$$` is a dollar sign, `$(NAME)` of an unknown
variable stays as it is, and so does an unclosed `$(`. Knows nothing of where values come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with its references replaced; `$$(NAME)` gives `$(NAME)`."""
    if "$" not in text:
        return text
    out: list[str] = []
    at = 0
    while True:
        dollar = text.find("$", at)
        if dollar < 0 or dollar + 1 == len(text):
            return "".join(out) + text[at:]
        out.append(text[at:dollar])
        follower = text[dollar + 1]
        if follower == "$":
            out.append("$")
            at = dollar + 2
        elif follower == "(":
            end = text.find(")", dollar + 2)
            if end < 0:
                out.append("$(")
                at = dollar + 2
            else:
                name = text[dollar + 2 : end]
                out.append(variables.get(name, f"$({name})"))
                at = end + 1
        else:
            out.append("$" + follower)
            at = dollar + 2


def expand_all(texts: Iterable[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(expand(text, variables) for text in texts)
