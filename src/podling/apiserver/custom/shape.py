"""How custom objects are read: pruned and completed by the present schema, whatever was stored under an earlier one.

Invariant: what stands in the store is kept beside what is shown, so that a changed definition shows every object anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.conform import WrongType
from podling.api.custom.defaulting import complete, has_defaults
from podling.api.custom.pruning import prune
from podling.api.encoded import Encoded
from podling.apiserver.objects import Shape
from podling.apiserver.scales import found

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.schema import Schema


class Completed(Encoded):
    """An object that is shown otherwise than it is stored."""

    __slots__ = ("_stored",)

    def __init__(self, stored: bytes, raw: bytes, offset: int, revision: int, **beside: Any) -> None:
        super().__init__(raw, offset, revision, **beside)
        self._stored = stored

    @property
    def stored(self) -> bytes:
        return self._stored


class CustomShape(Shape):
    """Reads and writes the stored bytes of one custom kind in its storage version."""

    def __init__(self, api_version: str, kind: str, fields: Mapping[str, tuple[str, ...]], schema: Schema) -> None:
        super().__init__(api_version, kind)
        self._selectable = dict(fields)
        self._schema = schema
        self._has_defaults = has_defaults(schema)

    def read(self, raw: bytes, revision: int, created: int) -> Encoded:
        """Return the object that `raw`, as stored at `revision`, is."""
        tree = msgspec.json.decode(raw, type=dict[str, Any])
        try:
            changed = bool(prune(tree, self._schema).unknown)
        except WrongType as error:
            raise msgspec.DecodeError(str(error)) from None
        if self._has_defaults:
            changed |= complete(tree, self._schema)
        shown = raw if not changed and raw.startswith(self.prefix) else self.encode(tree)
        metadata = tree["metadata"]
        beside = {
            "name": metadata.get("name", ""),
            "namespace": metadata.get("namespace", ""),
            "uid": metadata.get("uid", ""),
            "labels": metadata.get("labels"),
            "fields": {name: _text(found(tree, path)) for name, path in self._selectable.items()},
            "created": created,
        }
        if shown is raw:
            return Encoded(raw, self.offset, revision, **beside)
        return Completed(raw, shown, self.offset, revision, **beside)


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case None:
            return ""
        case _:
            return msgspec.json.encode(value).decode()
