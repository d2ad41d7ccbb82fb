"""The declarative record of a kind: everything that the generic handler must know to serve it.

Owns the shape of the record and the `Strategy` that a kind may bring. The handler has no branch on a kind; what is
peculiar to one stands in its record (`apiserver/kinds/`). Adding a kind is adding a record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from podling.apiserver.model import BuiltIn, Model
from podling.apiserver.objects import Shape

if TYPE_CHECKING:
    from asyncio import Lock
    from collections.abc import Callable, Mapping, Sequence

    from podling.api.errors import Cause
    from podling.api.resources import Resource
    from podling.apiserver.scales import Scaling
    from podling.store.protocol import Wish

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What a stored kind answers to, in the order in which discovery lists it."""


@dataclass(frozen=True, slots=True)
class User:
    """Who calls, after authentication."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for, in the words that authorization and admission judge by."""

    user: User
    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection; for other paths the lower-case HTTP method."""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Set for requests that are not about a resource: `/version`."""
    field_selector: str = ""
    """Of list, watch and deletecollection, as sent; nodes may select only what is theirs."""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


@dataclass(frozen=True, slots=True)
class Decision:
    """An authorizer's word; `reason` explains it to the caller."""

    allowed: bool
    reason: str = ""


class Authenticator(Protocol):
    """Finds out who calls. `None`: the request carries no credentials of this kind; StatusError 401: they are wrong."""

    async def authenticate(
        self, headers: Mapping[str, str], peer_certificate: Mapping[str, Any] | None
    ) -> User | None: ...


class Authorizer(Protocol):
    """Decides whether a caller may. Synchronous: it reads the API server's own cache."""

    def authorize(self, attributes: Attributes) -> Decision: ...


class Charge(Protocol):
    """What a write costs its namespace: further writes, committed with it or not at all."""

    @property
    def lock(self) -> Lock:
        """Held from the reckoning to the commit: writes that draw on the same would only send each other back."""
        ...

    def wishes(self) -> Sequence[Wish]:
        """Return what is to be written beside, from what stands there now; StatusError: it cannot be paid for."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a strategy may lean on while one write is prepared."""

    user: User
    now: float
    dry_run: bool
    warnings: list[str]
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """Called when the write is over, whatever came of it: what was reserved for it is given back here."""
    charges: list[Charge] = field(default_factory=list)
    """What admission wants to be written together with the object."""


class Strategy(Protocol):
    """What a kind adds to a write, in upstream's order; trees are plain JSON and may be changed in place."""

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        """Clear what callers may not set (status), set generation and what else creation decides."""
        ...

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        """Keep status from callers of the main resource, raise generation when the specification changed."""
        ...

    def validate_create(self, tree: dict[str, Any], context: Context) -> Sequence[Cause]: ...

    def validate_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> Sequence[Cause]: ...

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        """Keep from the stored object everything but what writers of a subresource (`status`) may touch."""
        ...

    def validate_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> Sequence[Cause]: ...

    def grace(self, tree: dict[str, Any], requested: int | None) -> int | None:
        """Return how many seconds deletion takes; `None` for kinds that know no grace."""
        ...

    def deleting(self, tree: dict[str, Any]) -> None:
        """Note on an object, in its own words, that its deletion has begun."""
        ...

    def held(self, tree: dict[str, Any]) -> bool:
        """Return whether more than metadata.finalizers keeps an object that is being deleted."""
        ...


class Face(Protocol):
    """Converts between a stored kind and another version or group that shows the same objects."""

    def to_stored(self, tree: dict[str, Any]) -> dict[str, Any]: ...

    def from_stored(self, tree: dict[str, Any]) -> dict[str, Any]: ...


_MADE: Any = None
"""Stands for what a record makes for itself where it is given none."""


@dataclass(frozen=True, slots=True)
class Record:
    """One kind as it is served."""

    resource: Resource[Any]
    key_prefix: str
    """Where the objects stand in the store, upstream's layout: `/registry/pods/`."""
    strategy: Strategy
    subresources: tuple[str, ...] = ()
    """`status`, `binding`, `log`, …; each with its verbs in `subresource_verbs`."""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Selectable fields besides metadata.name and metadata.namespace, with their paths in the tree."""
    verbs: tuple[str, ...] = VERBS
    unconditional_update: bool = True
    """Whether an update may leave its resourceVersion out."""
    stored_as: Record | None = None
    """The record of the stored kind that this is another face of: `events.k8s.io` over core events."""
    face: Face | None = None
    """How the objects of `stored_as` are shown as this kind, and back."""
    flags: frozenset[str] = frozenset()
    """Those of `fields` that are booleans: absent, they read as `false`."""
    counts: frozenset[str] = frozenset()
    """Those of `fields` that are numbers: absent, they read as `0`."""
    index: str = ""
    """The selectable field that the cache keeps an index of."""
    allow_create_on_update: bool = False
    """PUT of an absent object creates it (Lease, Event, ConfigMap-like kinds as upstream has it)."""
    subresource_verbs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What each subresource answers to, where that is not get, patch and update."""
    parts: frozenset[str] = frozenset({"status", "finalize"})
    """Those of `subresources` that are the object itself, of which their writers may touch a part."""
    deleted_in_full: bool = False
    """Whether a deletion that is over at once is answered with the object, as upstream does for some kinds."""
    orphans_dependents: bool = False
    """Whether a deletion that says nothing of dependents leaves them; kinds older than garbage collection do so."""
    orphaning_warning: str = ""
    """What is said to whoever leaves dependents without saying that they mean to."""
    scaling: Scaling | None = None
    """For kinds with the subresource `scale`: where it stands in an object."""
    deprecated: str = ""
    """What every caller is warned of, upstream's sentence; empty for kinds that are here to stay."""
    model: Model = _MADE
    """What objects must be like."""
    shape: Shape = field(default=_MADE, repr=False, compare=False)
    """Reads and writes the stored bytes."""

    def __post_init__(self) -> None:
        if self.model is _MADE:
            object.__setattr__(self, "model", BuiltIn(self.resource))
        if self.stored_as is not None:
            object.__setattr__(self, "shape", self.stored_as.shape)
        elif self.shape is _MADE:
            absent = dict.fromkeys(self.flags, "false") | dict.fromkeys(self.counts, "0")
            shape = Shape(self.resource.api_version, self.resource.kind, self.fields, absent)
            object.__setattr__(self, "shape", shape)

    def key(self, namespace: str, name: str) -> str:
        """Return where an object stands in the store."""
        return f"{self.key_prefix}{namespace}/{name}" if namespace else f"{self.key_prefix}{name}"
