"""The paths by which CustomResourceDefinitions point into objects: `.status.conditions[?(@.type=="Ready")].status`.

Owns the part of kubectl's JSONPath that is of use in columns, scales and selectable fields: names, indexes, `[*]` and
filters that compare with a literal. Pure; a path is read once and applied to plain trees.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Step = Callable[[Any], Iterable[Any]]

_STEP: Final = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\\'"()?@*\s])+)"""
    r"""|\[\s*(?P<quote>['"])(?P<quoted>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)\s*\]"""
    r"""|\[(?P<index>-?\d+)\]"""
    r"""|(?P<all>\[\*\]|\.\*)"""
    r"""|\[\?\(\s*@(?P<field>(?:\.(?:\\.|[^.\[\]\\\s=!<>()])+)+)\s*(?P<how>==|!=)\s*(?P<literal>'[^']*'|"[^"]*"|[^)\s]+)\s*\)\]"""
)


class Path:
    """A path that was read; `fields` are its names where it has nothing but names, else empty."""

    def __init__(self, text: str) -> None:
        """Read `.spec.replicas`; `ValueError` for what is no path of this kind."""
        self._steps: list[Step] = []
        names: list[str] = []
        simple, at = True, 0
        source = text.removeprefix("{").removesuffix("}").removeprefix("$")
        while at < len(source):
            found = _STEP.match(source, at)
            if found is None:
                raise ValueError(f"unreadable at {source[at:]!r}")
            at = found.end()
            name = found["name"] if found["name"] is not None else found["quoted"]
            if name is not None:
                name = re.sub(r"\\(.)", r"\1", name)
                names.append(name)
                self._steps.append(functools.partial(_named, name))
                continue
            simple = False
            if found["index"] is not None:
                self._steps.append(functools.partial(_indexed, int(found["index"])))
            elif found["all"] is not None:
                self._steps.append(_every)
            else:
                inner = Path(found["field"])
                self._steps.append(functools.partial(_where, inner, _literal(found["literal"]), found["how"] == "=="))
        self.fields: tuple[str, ...] = tuple(names) if simple else ()

    def find(self, tree: Any) -> list[Any]:
        """Return all that the path leads to."""
        found: list[Any] = [tree]
        for step in self._steps:
            found = [below for value in found for below in step(value)]
        return found


def _named(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _indexed(index: int, value: Any) -> Iterator[Any]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value[index]


def _every(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()


def _where(path: Path, literal: Any, wanted: bool, value: Any) -> Iterator[Any]:
    for each in _every(value):
        found = path.find(each)
        if found and (found[0] == literal) == wanted:
            yield each


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
