"""An object as bytes, with what is asked of it most often beside them.

Owns `Encoded`, the form in which objects stand in the watch cache and travel between components of one process: the
JSON as stored (which carries no resourceVersion), where to splice the resourceVersion in, and the metadata and indexed
fields that selectors and dispatch need, so that they never decode. Pure.

Invariants: immutable; `raw` begins with the kind's fixed prefix up to and including `"metadata":{`, and metadata is
never empty; a typed view is decoded at most once while anybody holds it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

_View = TypeVar("_View")

_NO_LABELS: Mapping[str, str] = {}


class Encoded:
    """One revision of one object."""

    __slots__ = ("_view", "created", "fields", "labels", "name", "namespace", "offset", "raw", "revision", "uid")

    def __init__(
        self,
        raw: bytes,
        offset: int,
        revision: int,
        *,
        name: str,
        namespace: str = "",
        uid: str = "",
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        created: int = 0,
    ) -> None:
        self.raw = raw
        """JSON as stored: no resourceVersion in it."""
        self.offset = offset
        """Where `"resourceVersion":"N",` is spliced in; just behind `"metadata":{`."""
        self.revision = revision
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.labels = labels or _NO_LABELS
        self.fields = fields or _NO_LABELS
        """The kind's selectable fields (`spec.nodeName`, `status.phase`, …) with their values as text."""
        self.created = created
        """The revision at which the object was created."""
        self._view: weakref.ref[object] | None = None

    def __repr__(self) -> str:
        return f"<Encoded {self.namespace}/{self.name}@{self.revision}>"

    @property
    def stored(self) -> bytes:
        """What stands in the store, where that is not `raw`: an object completed when it was read."""
        return self.raw

    def wire(self) -> bytes:
        """Return the JSON that clients see."""
        cut = self.offset
        return b'%b"resourceVersion":"%d",%b' % (self.raw[:cut], self.revision, self.raw[cut:])

    def view(self, kind: type[_View]) -> _View:
        """Return the typed view, shared with whoever else holds it."""
        held = self._view() if self._view is not None else None
        if isinstance(held, kind):
            return held
        from podling.api.codec import decode

        made = decode(kind, self.wire())
        self._view = weakref.ref(made)
        return made
