"""How objects and lists are put into bytes: as they are stored, as metadata only, as tables, as YAML.

Owns negotiation of the Accept header and the representations. Invariants: the same header gives the same
representation object, and so the same frames for all watchers who ask alike; the full JSON form copies stored bytes
and decodes nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from podling.api.errors import bad_request, not_acceptable
from podling.apiserver.objects import tree_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from podling.api.encoded import Encoded
    from podling.apiserver.cache.notices import Form
    from podling.apiserver.record import Record
    from podling.apiserver.tables import Include
    from podling.apiserver.verbs.reading import Listing

Kind: TypeAlias = Literal["full", "metadata", "table"]

PIECE = 256 * 1024
"""How much of a list is made at a time, in bytes."""

_ACCEPTED = "application/json, application/yaml"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an Accept header asks for."""

    kind: Kind = "full"
    yaml: bool = False
    version: str = "v1"
    """Of meta.k8s.io, for tables and metadata."""
    include: Include = "Metadata"
    """What the rows of a table carry of their objects."""

    @property
    def content_type(self) -> str:
        base = "application/yaml" if self.yaml else "application/json"
        if self.kind == "table":
            return f"{base};as=Table;v={self.version};g=meta.k8s.io"
        return base


_FULL = Wish()


@functools.lru_cache(maxsize=256)
def negotiate(accept: str, *, stored: bool = True) -> Wish:
    """Return the first form of an Accept header that can be given; `StatusError` 406 if there is none.

    Of what is not stored there are no tables, and no metadata apart.
    """
    if not accept:
        return _FULL
    clauses = [_clause(text) for text in accept.split(",")]
    for media_type, parameters, _ in sorted(clauses, key=lambda clause: -clause[2]):
        if media_type in {"application/json", "*/*", "application/*"}:
            yaml = False
        elif media_type in {"application/yaml", "application/x-yaml", "text/yaml"}:
            yaml = True
        else:
            continue
        shape, version = parameters.get("as", ""), parameters.get("v", "")
        known = stored and parameters.get("g") == "meta.k8s.io" and version in {"v1", "v1beta1"}
        if shape == "Table" and known:
            return Wish("table", yaml, version)
        if shape in {"PartialObjectMetadata", "PartialObjectMetadataList"} and known:
            return Wish("metadata", yaml, version)
        if not shape:
            return Wish("full", yaml)
    raise not_acceptable(_ACCEPTED)


def with_include(wish: Wish, include: str) -> Wish:
    """Return the wish for a table whose rows carry `include` of their objects; `StatusError` 400 for other words."""
    match include:
        case "":
            return wish
        case "None" | "Metadata" | "Object":
            return replace(wish, include=include)
        case _:
            supported = '"", "Metadata", "None", "Object"'
            raise bad_request(f'includeObject: Unsupported value: "{include}": supported values: {supported}')


def _clause(text: str) -> tuple[str, dict[str, str], float]:
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = dict(part.partition("=")[::2] for part in rest)
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        quality = 0.0
    return media_type.lower(), parameters, quality


class Representation:
    """One form of the objects of one record."""

    def __init__(self, record: Record, wish: Wish) -> None:
        self.record = record
        self.content_type = wish.content_type
        resource = record.resource
        self._list = (resource.list_kind, resource.api_version)
        self.form: Form | None = self._full if record.face is not None else None
        if wish.kind == "metadata":
            self.form = _metadata_form(wish.version)
            self._list = ("PartialObjectMetadataList", f"meta.k8s.io/{wish.version}")
        self.bookmark: Form | None = self.form
        """How the object of a bookmark is shown, which has nothing but metadata."""
        self._skip = record.shape.offset if self.form is None and record.model.is_typed else 0
        if wish.yaml:
            self.content_type = "application/yaml"

    def object(self, encoded: Encoded) -> bytes:
        """Return the JSON of one object."""
        return encoded.wire() if self.form is None else self.form(encoded)

    def list(self, listing: Listing) -> Iterator[bytes]:
        """Yield the JSON of a list in pieces."""
        kind, api_version = self._list
        metadata = msgspec.json.encode(list_metadata(listing))
        words = (kind.encode(), api_version.encode(), metadata)
        head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % words
        return pieces(head, self._items(listing.items), b"]}")

    def _items(self, items: Sequence[Encoded]) -> Iterator[bytes]:
        """Yield the items; like upstream, those of typed lists do not repeat kind and apiVersion."""
        skip, form = self._skip, self.form
        if form is None:
            for it in items:
                yield b'{"metadata":{"resourceVersion":"%d",%b' % (it.revision, it.raw[skip:]) if skip else it.wire()
        else:
            for it in items:
                yield form(it)

    def _full(self, encoded: Encoded) -> bytes:
        face = self.record.face
        assert face is not None
        return msgspec.json.encode(face.from_stored(tree_of(encoded)))


class TableRepresentation(Representation):
    """The rows and columns that `kubectl get` prints; what the columns are is told by `tables`."""

    def __init__(self, record: Record, wish: Wish, now: Callable[[], float]) -> None:
        super().__init__(record, wish)
        self._wish = wish
        self._now = now
        self.form = self._one
        self.bookmark = self._none

    def object(self, encoded: Encoded) -> bytes:
        return self._one(encoded)

    def list(self, listing: Listing) -> Iterator[bytes]:
        yield self._table(listing.items, list_metadata(listing))

    def _none(self, encoded: Encoded) -> bytes:
        return self._table([], {"resourceVersion": str(encoded.revision)})

    def _one(self, encoded: Encoded) -> bytes:
        return self._table([encoded], None)

    def _table(self, items: Sequence[Encoded], metadata: dict[str, Any] | None) -> bytes:
        from podling.apiserver import tables

        faced = self.record.face is not None and self._wish.include == "Object"
        return tables.render(
            self.record,
            items,
            now=self._now(),
            include_object=self._wish.include,
            list_meta=metadata,
            version=self._wish.version,
            wires=[self._full(it) for it in items] if faced else None,
        )


class Representations:
    """All representations, each made once."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._made: dict[tuple[Any, Wish], Representation] = {}

    def of(self, record: Record, wish: Wish) -> Representation:
        key = (record.resource, wish)
        made = self._made.get(key)
        if made is None or made.record is not record:
            table = wish.kind == "table"
            made = TableRepresentation(record, wish, self._now) if table else Representation(record, wish)
            self._made[key] = made
        return made


def list_metadata(listing: Listing) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(listing.revision)}
    if listing.token:
        metadata["continue"] = listing.token
        if listing.remaining is not None:
            metadata["remainingItemCount"] = listing.remaining
    return metadata


def pieces(head: bytes, items: Iterable[bytes], tail: bytes) -> Iterator[bytes]:
    """Join items with commas into pieces of about `PIECE` bytes."""
    held: list[bytes] = [head]
    size = len(head)
    first = True
    for item in items:
        if size >= PIECE:
            yield b"".join(held)
            held.clear()
            size = 0
        if first:
            first = False
        else:
            held.append(b",")
        held.append(item)
        size += len(item) + 1
    held.append(tail)
    yield b"".join(held)


@functools.cache
def _metadata_form(version: str) -> Form:
    from podling.apiserver import tables

    return functools.partial(tables.partial_object, version=version)


def to_yaml(body: bytes) -> bytes:
    """Return the YAML of a JSON document."""
    import yaml

    text: str = yaml.safe_dump(msgspec.json.decode(body), sort_keys=True)
    return text.encode()
