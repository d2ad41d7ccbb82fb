"""What a path asks for: the resource, its namespace, name and subresource, as upstream's RequestInfo reads it.

Owns the reading of paths and the verb that follows from path, method and query. Knows the records only by their names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.apiserver.record import Record


class Target(NamedTuple):
    """A path under a resource that is served."""

    record: Record
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource: the path behind `proxy`."""
    watch: bool = False
    """Whether the path is one of the old `/watch/` paths."""


class ResourcePath(NamedTuple):
    """A path of the form of a resource's, whether or not it is served."""

    group: str
    version: str
    namespace: str
    resource: str
    name: str
    subresource: str
    rest: str
    watch: bool


_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def resource_path(path: str) -> ResourcePath | None:
    """Read a path; `None` if it is not of a resource's form (`/version`, `/apis/apps`)."""
    parts = path.strip("/").split("/")
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if parts[0] == "api" and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return None
    watch = parts[0] == "watch" and len(parts) > 1
    if watch:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    resource, name, subresource = [*parts, "", ""][:3]
    return ResourcePath(group, version, namespace, resource, name, subresource, "/".join(parts[3:]), watch)


class Routes:
    """Finds the record of a path. Records may come and go; `edition` counts how often that happened."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = {_place(it): it for it in records}
        self.edition = 0

    def serve(self, records: Iterable[Record], instead_of: Iterable[Record] = ()) -> None:
        """Let other records be found from now on; one that is there already is not taken away by another."""
        for record in instead_of:
            place = _place(record)
            if self._records.get(place) is record:
                del self._records[place]
        for record in records:
            self._records.setdefault(_place(record), record)
        self.edition += 1

    def records(self) -> tuple[Record, ...]:
        return tuple(self._records.values())

    def record(self, group: str, version: str, plural: str) -> Record | None:
        return self._records.get((group, version, plural))

    def target(self, path: ResourcePath) -> Target | None:
        """Return what is served under a path; `None` for what is not."""
        record = self._records.get((path.group, path.version, path.resource))
        if record is None or (path.subresource and path.subresource not in record.subresources):
            return None
        namespace = path.namespace
        if not record.resource.namespaced:
            # A namespace's own path names it twice over; other cluster-scoped resources stand under none.
            if namespace and record.resource.plural != "namespaces":
                return None
            namespace = ""
        elif path.name and not namespace:
            return None
        if path.rest and path.subresource != "proxy":
            return None
        return Target(record, namespace, path.name, path.subresource, path.rest, path.watch)


def _place(record: Record) -> tuple[str, str, str]:
    resource = record.resource
    return resource.group, resource.version, resource.plural


def verb_of(method: str, path: ResourcePath, query: Iterable[tuple[str, str]]) -> str:
    """Return the verb that authorization judges: `list` and `watch` told apart by the query."""
    if method in {"GET", "HEAD"}:
        if path.watch:
            return "watch"
        if path.name:
            return "get"
        watch = next((value for key, value in query if key == "watch"), None)
        return "watch" if watch is not None and truth(watch) else "list"
    if method == "DELETE":
        return "delete" if path.name else "deletecollection"
    return _VERBS.get(method, method.lower())


def truth(text: str) -> bool:
    """Read a boolean parameter as upstream does: present and neither `false` nor `0` is true."""
    return text.lower() not in {"false", "0"}
