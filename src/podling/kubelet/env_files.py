"""Variables that an init container has left in a file of a volume: `fileKeyRef`.

Owns the format, a part of the shell's: lines `NAME='value'`, the value between single quotes to the letter and over as
many lines as it likes; blank lines, comments, blanks before a name and after a value mean nothing. The file is a
container's work: it is read as a file of its volume alone, and no further than a bound.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.kubelet.objects import MissingReference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import FileKeySelector

_LIMIT: Final = 1 << 20
_BAD: Final = "invalid environment variable format"


class BadEnvFile(ValueError):
    """A file that is not of the format."""


async def value_aside(selector: FileKeySelector, volumes: Mapping[str, str]) -> str | None:
    """Return what `value_in_file` does: a thread reads, for a long file takes long, and many variables may name it."""
    if not volumes.get(selector.volume_name):
        return value_in_file(selector, volumes)  # it refuses
    return await asyncio.to_thread(value_in_file, selector, volumes)


def value_in_file(selector: FileKeySelector, volumes: Mapping[str, str]) -> str | None:
    """Return a variable's value, or `None` where it is not there and need not be; as upstream, an empty one is none."""
    from podling.linux import beneath

    folder = volumes.get(selector.volume_name, "")
    if not folder:
        raise MissingReference(f'cannot find the volume "{selector.volume_name}" referenced by FileKeyRef')
    try:
        text = beneath.read_beneath(Path(folder), selector.path, _LIMIT).decode()
        value = parse_env(text, selector.key)
    except FileNotFoundError as missing:
        if selector.optional:
            return None
        raise MissingReference("couldn't parse env file") from missing
    except (OSError, ValueError) as bad:
        raise MissingReference("couldn't parse env file") from bad
    if value or selector.optional:
        return value or None
    where = f"{folder}/{selector.path}"
    raise MissingReference(f'environment variable key "{selector.key}" not found in file "{where}"')


def parse_env(text: str, key: str) -> str:
    """Return what `key` is set to first, or nothing; `BadEnvFile` for what is wrong before that."""
    at, line = 0, 1
    while at < len(text):
        end = _end_of_line(text, at)
        row = text[at:end].lstrip(" \t").rstrip("\r")
        if not row or row.startswith("#"):
            at, line = end + 1, line + 1
            continue
        name, equals, _ = row.partition("=")
        if not equals or not name:
            raise BadEnvFile(f"{_BAD} at line {line}")
        if name != name.rstrip(" \t"):
            raise BadEnvFile(f"{_BAD} at line {line}: whitespace before '=' is not allowed")
        start = text.index("=", at) + 1
        if text[start : start + 1] != "'":
            raise BadEnvFile(f"{_BAD} at line {line}: value must be enclosed in single quotes")
        close = text.find("'", start + 1)
        if close < 0:
            raise BadEnvFile(f"{_BAD} at line {line}: unclosed single quote")
        value = text[start + 1 : close]
        line += value.count("\n")
        end = _end_of_line(text, close)
        rest = text[close + 1 : end].rstrip("\r")
        if rest.strip(" \t") and not (rest[0] in " \t" and rest.lstrip(" \t").startswith("#")):
            raise BadEnvFile(f"{_BAD} at line {line}: unexpected content after closing quote")
        if name == key:
            return value
        at, line = end + 1, line + 1
    return ""


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
