"""The one chain that every call enters, over HTTP and in this process: user, authorize, admit, store.

Owns the order: path and verb, authorization, then the handler or one of the extensions (discovery, OpenAPI, reviews),
and the index of their paths. Every refusal leaves as `StatusError`; a defect of ours leaves as a 500 Status and is
logged with its trace.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import msgspec

from podling.api.errors import StatusError, internal, no_such_path, too_large
from podling.apiserver.identity.rbac import refusal
from podling.apiserver.messages import Response
from podling.apiserver.paths import ResourcePath, Routes, Target, resource_path, verb_of
from podling.apiserver.record import Attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from podling.apiserver.handler import Handler
    from podling.apiserver.messages import Request
    from podling.apiserver.record import Authorizer, User

log = logging.getLogger("podling.apiserver")

MAX_BODY = 3 * 1024 * 1024


class Extension(Protocol):
    """Serves paths that are not about stored objects; `None` for those that are not its own."""

    async def serve(self, request: Request, path: ResourcePath | None) -> Response | None: ...

    def paths(self) -> Iterable[str]:
        """Return what the server's index lists of these paths."""
        ...


class Chain:
    """Answers requests of users who are known by now."""

    def __init__(
        self,
        routes: Routes,
        handler: Handler,
        authorizer: Authorizer,
        extensions: Sequence[Extension] = (),
        *,
        monotonic: Callable[[], float],
        observe: Callable[[Attributes, int, float], None],
    ) -> None:
        """`observe` is told of every answer: what was asked, its code, and how many seconds it took."""
        self._routes = routes
        self._handler = handler
        self._authorizer = authorizer
        self.extensions = list(extensions)
        self._monotonic = monotonic
        self._observe = observe

    async def handle(self, request: Request) -> Response:
        """Answer one request; raises nothing but `StatusError` (and cancellation)."""
        path = resource_path(request.path)
        attributes = attributes_of(request, path)
        began, code = self._monotonic(), 500
        try:
            self.authorize(attributes)
            if len(request.body) > MAX_BODY:
                raise too_large(MAX_BODY)
            target = self._routes.target(path) if path is not None else None
            if target is not None:
                response = await self._handler.handle(request, target, attributes.verb)
            else:
                response = await self._extended(request, path)
            code = response.code
        except StatusError as error:
            code = error.code
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            raise internal(str(error) or type(error).__name__) from error
        finally:
            self._observe(attributes, code, self._monotonic() - began)
        return response

    def target(self, path: ResourcePath) -> Target | None:
        return self._routes.target(path)

    def authorize(self, attributes: Attributes) -> None:
        """Refuse, in upstream's words, what the caller may not."""
        decision = self._authorizer.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    async def _extended(self, request: Request, path: ResourcePath | None) -> Response:
        if request.path in {"/", "/index.html"} and request.method in {"GET", "HEAD"}:
            return Response(200, self._index())
        for extension in self.extensions:
            response = await extension.serve(request, path)
            if response is not None:
                return response
        raise no_such_path()

    def _index(self) -> bytes:
        """Return what `/` answers: the paths that are not about objects, in upstream's form."""
        listed = sorted({path for extension in self.extensions for path in extension.paths()})
        return msgspec.json.encode({"paths": listed})


def attributes_of(request: Request, path: ResourcePath | None) -> Attributes:
    """Return what authorization judges of a request."""
    if path is None:
        return Attributes(request.user, request.method.lower(), path=request.path)
    verb = verb_of(request.method, path, request.query)
    fields = ""
    if not path.name and verb in _SELECTING:
        fields = next((value for key, value in request.query if key == "fieldSelector"), "")
    return Attributes(
        request.user,
        verb,
        path.group,
        path.version,
        path.resource,
        path.subresource,
        path.namespace,
        path.name or _selected_name(fields),
        request.path,
        fields,
    )


def attributes_for(
    user: User,
    verb: str,
    group: str,
    version: str,
    plural: str,
    namespace: str = "",
    fields: str = "",
) -> Attributes:
    """Return what authorization judges of a list or watch that comes without a path."""
    return Attributes(user, verb, group, version, plural, "", namespace, _selected_name(fields), "", fields)


_SELECTING = frozenset({"list", "watch", "deletecollection"})
"""The verbs that a selector narrows; of several selectors the first counts, here as where they are carried out."""


def _selected_name(fields: str) -> str:
    """Return the one name that a field selector selects: who may read one object may watch it so."""
    if fields.startswith("metadata.name=") and "," not in fields:
        return fields.removeprefix("metadata.name=").removeprefix("=")
    return ""
