"""How stored bytes become `Encoded`, and trees become stored bytes.

Owns `Shape`, the per-kind reader of metadata and selectable fields: one shallow decode of the bytes that builds no
object tree. Knows nothing of requests or rules. Invariants: stored bytes begin with the kind's fixed prefix up to and
including `"metadata":{`; they carry no resourceVersion and no managedFields.

`metadata.managedFields` is accepted from callers and not kept: Podling does not track field ownership.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.encoded import Encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.store.protocol import Row

_encode = msgspec.json.Encoder().encode


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None


class Shape:
    """Reads and writes the stored bytes of one kind; `absent` is what selectable fields read as that are not there."""

    def __init__(
        self,
        api_version: str,
        kind: str,
        fields: Mapping[str, tuple[str, ...]] | None = None,
        absent: Mapping[str, str] | None = None,
    ) -> None:
        self.prefix = b'{"kind":"%b","apiVersion":"%b","metadata":{' % (kind.encode(), api_version.encode())
        self.offset = len(self.prefix)
        self._kind = kind
        self._api_version = api_version
        self._paths = [(name, path, (absent or {}).get(name, "")) for name, path in (fields or {}).items()]
        self._decode = msgspec.json.Decoder(_head(f"_{kind}", [path for _, path, _ in self._paths])).decode

    def encode(self, tree: dict[str, Any]) -> bytes:
        """Return the bytes to store; `tree` is left as it is."""
        metadata = {k: v for k, v in tree["metadata"].items() if k not in _NOT_STORED}
        head = {"kind": self._kind, "apiVersion": self._api_version, "metadata": metadata}
        for key, value in tree.items():
            if key not in head:
                head[key] = value
        return _encode(head)

    def read(self, raw: bytes, revision: int, created: int) -> Encoded:
        """Return the object that `raw`, as stored at `revision`, is."""
        head = self._decode(raw)
        metadata = head.metadata
        fields = {}
        for name, path, absent in self._paths:
            value: Any = head
            for part in path:
                value = getattr(value, part)
                if value is None:
                    break
            fields[name] = absent if value is None else value if isinstance(value, str) else _text(value)
        if not raw.startswith(self.prefix):
            raw = self.encode(msgspec.json.decode(raw))
        return Encoded(
            raw,
            self.offset,
            revision,
            name=metadata.name,
            namespace=metadata.namespace,
            uid=metadata.uid,
            labels=metadata.labels,
            fields=fields,
            created=created,
        )

    def bookmark(self, revision: int, annotation: str = "") -> Encoded:
        """Return the object of a bookmark: a kind, a revision, and at the end of a watch's first list an annotation."""
        more = b'"annotations":{"%b":"true"},' % annotation.encode() if annotation else b""
        raw = self.prefix + more + b'"creationTimestamp":null}}'
        return Encoded(raw, self.offset, revision, name="")

    def row(self, row: Row) -> Encoded:
        """Return the object that a row of the store holds."""
        return self.read(row.value, row.revision, row.created)


_NOT_STORED = frozenset({"resourceVersion", "managedFields", "selfLink"})


def at(encoded: Encoded, revision: int) -> Encoded:
    """Return the same object under another revision, as a deletion shows it."""
    return Encoded(
        encoded.raw,
        encoded.offset,
        revision,
        name=encoded.name,
        namespace=encoded.namespace,
        uid=encoded.uid,
        labels=encoded.labels,
        fields=encoded.fields,
        created=encoded.created,
    )


def tree_of(encoded: Encoded) -> dict[str, Any]:
    """Return a fresh plain tree of the object, resourceVersion and all."""
    tree: dict[str, Any] = msgspec.json.decode(encoded.wire())
    return tree


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _head(name: str, paths: list[tuple[str, ...]]) -> type[Any]:
    children: dict[str, list[tuple[str, ...]]] = {}
    leaves: list[str] = []
    for path in paths:
        if len(path) == 1:
            leaves.append(path[0])
        else:
            children.setdefault(path[0], []).append(path[1:])
    fields: list[tuple[str, Any, Any]] = [(leaf, str | bool | int | None, None) for leaf in leaves]
    fields += [(child, _head(f"{name}_{child}", below) | None, None) for child, below in children.items()]
    if name.count("_") == 1:
        fields.append(("metadata", _Metadata, msgspec.field(default_factory=_Metadata)))
    return msgspec.defstruct(name, fields, gc=False)
