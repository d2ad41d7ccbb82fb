"""Owns the list of what can be done at which path: the half of an OpenAPI document that follows from the records.

One form for both versions: `documents` spells an `Operation` out as v2 or v3. Must not know either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.api.resources import CustomResource
from podling.apiserver.discovery import subresource_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podling.api.resources import Resource
    from podling.apiserver.discovery import Served

META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
JSON: Final = "application/json"
_YAML: Final = "application/yaml"
_PATCHES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_CUSTOM_PATCHES: Final = (*_PATCHES[:2], _PATCHES[3])
_STATUS: Final = META + "Status"
_PATCH: Final = META + "Patch"
_DELETE_OPTIONS: Final = META + "DeleteOptions"
_EVERYWHERE: Final = "ForAllNamespaces"
_COLLECTION: Final = "Collection"
_CONNECTS: Final = frozenset({"attach", "exec", "portforward", "proxy"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query or a path."""

    name: str
    type: str
    description: str
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    path: str
    method: str
    id: str
    description: str
    action: str
    """What stands as `x-kubernetes-action`: get, list, post, put, patch, delete, deletecollection, connect."""
    group: str
    version: str
    kind: str
    tag: str
    answers: str
    """The definition of the answer's body; "" where it is plain text."""
    takes: str = ""
    """The definition of the request's body, "" where there is none."""
    consumes: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    path_parameters: tuple[Parameter, ...] = ()


_PRETTY: Final = Parameter("pretty", "string", "If 'true', then the output is pretty printed.")
_NAMESPACE: Final = Parameter(
    "namespace", "string", "object name and auth scope, such as for teams and projects", "path"
)
_LIST: Final = (
    Parameter("allowWatchBookmarks", "boolean", "allowWatchBookmarks requests watch events with type BOOKMARK."),
    Parameter("continue", "string", "The token by which an earlier, limited list goes on."),
    Parameter("fieldSelector", "string", "Restricts the returned objects by their fields. Defaults to everything."),
    Parameter("labelSelector", "string", "Restricts the returned objects by their labels. Defaults to everything."),
    Parameter("limit", "integer", "The most objects to return; where there are more, `continue` is set."),
    Parameter("resourceVersion", "string", "Constrains which revisions a request may be served from."),
    Parameter("resourceVersionMatch", "string", "How resourceVersion is applied to list calls: Exact, NotOlderThan."),
    Parameter("sendInitialEvents", "boolean", "Begins a watch with the present objects, and a bookmark behind them."),
    Parameter("timeoutSeconds", "integer", "How long the call may last, regardless of activity."),
    Parameter("watch", "boolean", "Watch for changes and return them as a stream of events."),
)
_DRY_RUN: Final = Parameter("dryRun", "string", "Indicates that modifications should not be persisted: All.")
_WRITE: Final = (
    _DRY_RUN,
    Parameter("fieldManager", "string", "The name of the actor or entity that makes these changes."),
    Parameter(
        "fieldValidation",
        "string",
        "What to do about unknown and duplicate fields of the request: Ignore, Warn (the default) or Strict.",
    ),
)
_FORCE: Final = Parameter("force", "boolean", "Force an apply: take fields that other managers own.")
_DELETE: Final = (
    _DRY_RUN,
    Parameter("gracePeriodSeconds", "integer", "The seconds before the object is deleted; zero means immediately."),
    Parameter("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    Parameter("propagationPolicy", "string", "Whether and how dependents are deleted: Orphan, Background, Foreground."),
)


def operations(served: Iterable[Served]) -> list[Operation]:
    """Return every operation on every resource, in the order of paths as they are built."""
    return [operation for it in served for operation in _of_resource(it)]


def _of_resource(it: Served) -> Iterator[Operation]:
    of = it.resource
    base = f"{of.prefix}/namespaces/{{namespace}}/{of.plural}" if of.namespaced else f"{of.prefix}/{of.plural}"
    scope = (_NAMESPACE,) if of.namespaced else ()
    build = _Builder(of)
    for verb in it.verbs:
        match verb:
            case "list":
                yield build.make("list", "get", base, of.kind, f"{of.schema_name}List", _LIST, scope)
                if of.namespaced:
                    everywhere = f"{of.prefix}/{of.plural}"
                    yield build.make(
                        "list", "get", everywhere, of.kind, f"{of.schema_name}List", _LIST, (), _EVERYWHERE
                    )
            case "create":
                yield build.make("post", "post", base, of.kind, of.schema_name, _WRITE, scope, takes=of.schema_name)
            case "deletecollection":
                parameters = tuple(dict.fromkeys((*_LIST[1:8], *_DELETE)))
                yield build.make(
                    "deletecollection",
                    "delete",
                    base,
                    of.kind,
                    _STATUS,
                    parameters,
                    scope,
                    _COLLECTION,
                    _DELETE_OPTIONS,
                )
            case "watch":
                pass  # a parameter of the list
            case _:
                yield from build.one(verb, f"{base}/{{name}}", of.kind, of.schema_name, scope)
    for subresource, verbs in it.subresources:
        group, version, kind = subresource_kind(of, subresource)
        own = (group, version, kind) == (of.group, of.version, of.kind)
        definition = of.schema_name if own else _definition(group, version, kind)
        for verb in verbs:
            path = f"{base}/{{name}}/{subresource}"
            if subresource in _CONNECTS:
                method = {"create": "post", "update": "put"}.get(verb, verb)
                yield build.make(
                    "connect",
                    method,
                    path,
                    kind,
                    "",
                    (),
                    (*scope, _named(of)),
                    subresource.title(),
                    gvk=(group, version, kind),
                )
            else:
                yield from build.one(verb, path, kind, definition, scope, subresource.title(), (group, version, kind))


class _Builder:
    """Makes the operations of one resource."""

    def __init__(self, of: Resource[object]) -> None:
        self._of = of
        self._patches = _CUSTOM_PATCHES if isinstance(of, CustomResource) else _PATCHES
        group = of.group.removesuffix(".k8s.io") or "core"
        words = group.replace("-", ".").split(".")
        self._tag = f"{'_'.join(words)}_{of.version}" if not of.group else f"{''.join(words[:1])}_{of.version}"
        self._scope = "Namespaced" if of.namespaced else ""
        self._prefix = "".join(word.title() for word in words) + of.version.title()

    def one(
        self,
        verb: str,
        path: str,
        kind: str,
        definition: str,
        scope: tuple[Parameter, ...],
        suffix: str = "",
        gvk: tuple[str, str, str] | None = None,
    ) -> Iterator[Operation]:
        where = (*scope, _named(self._of))
        plain = suffix == "Log"
        match verb:
            case "get":
                yield self.make("get", "get", path, kind, "" if plain else definition, (), where, suffix, gvk=gvk)
            case "create":
                yield self.make("post", "post", path, kind, definition, _WRITE, where, suffix, definition, gvk)
            case "update":
                yield self.make("put", "put", path, kind, definition, _WRITE, where, suffix, definition, gvk)
            case "patch":
                parameters = (*_WRITE, _FORCE)
                yield self.make("patch", "patch", path, kind, definition, parameters, where, suffix, _PATCH, gvk)
            case "delete":
                yield self.make("delete", "delete", path, kind, _STATUS, _DELETE, where, suffix, _DELETE_OPTIONS, gvk)

    def make(
        self,
        action: str,
        method: str,
        path: str,
        kind: str,
        answers: str,
        parameters: tuple[Parameter, ...],
        where: tuple[Parameter, ...],
        suffix: str = "",
        takes: str = "",
        gvk: tuple[str, str, str] | None = None,
    ) -> Operation:
        of = self._of
        word = {"get": "read", "post": "create", "put": "replace", "connect": f"connect{method.title()}"}.get(
            action, action
        )
        scope = "" if suffix == _EVERYWHERE else self._scope
        if suffix == _COLLECTION:
            name = f"{word}{self._prefix}{suffix}{scope}{of.kind}"
        else:
            name = f"{word}{self._prefix}{scope}{of.kind}{suffix}"
        group, version, gvk_kind = gvk or (of.group, of.version, kind)
        return Operation(
            path=path,
            method=method,
            id=name,
            description=_sentence(action, of.kind, suffix),
            action=action,
            group=group,
            version=version,
            kind=gvk_kind,
            tag=self._tag,
            answers=answers,
            takes=takes,
            consumes=(self._patches if action == "patch" else (JSON, _YAML)) if takes else (),
            parameters=(_PRETTY, *parameters),
            path_parameters=where,
        )


def _sentence(action: str, kind: str, suffix: str) -> str:
    about = f"{suffix.lower()} of the specified {kind}" if suffix and suffix not in (_EVERYWHERE, _COLLECTION) else ""
    match action:
        case "list":
            return f"list or watch objects of kind {kind}"
        case "deletecollection":
            return f"delete collection of {kind}"
        case "connect":
            return f"connect requests to {about}"
        case "post":
            return f"create {about or 'a ' + kind}"
        case "patch":
            return f"partially update {about or 'the specified ' + kind}"
        case _:
            word = {"get": "read", "put": "replace"}.get(action, action)
            return f"{word} {about or 'the specified ' + kind}"


def _named(of: Resource[object]) -> Parameter:
    return Parameter("name", "string", f"name of the {of.kind}", "path")


def _definition(group: str, version: str, kind: str) -> str:
    return f"io.k8s.api.{group.split('.', maxsplit=1)[0] or 'core'}.{version}.{kind}"
