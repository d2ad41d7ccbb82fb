"""The one generic handler: a target and a verb become a call of the verb's module, and its result an answer.

Owns nothing but that way. What is peculiar to a kind stands in its record; the two subresources of Pods that are verbs
of their own (binding, eviction) are named here. What it does not serve itself (streams to kubelets, tokens) goes to the
`subresources` it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from podling.api.errors import StatusError, bad_request, method_not_allowed
from podling.api.validation.field import quoted
from podling.apiserver.cache.notices import frame_of
from podling.apiserver.identity.rbac import refusal
from podling.apiserver.messages import JSON, Request, Response, Watching
from podling.apiserver.options import delete_options, list_options, write_options
from podling.apiserver.record import Attributes
from podling.apiserver.representations import Representation, Representations, Wish, negotiate, to_yaml, with_include
from podling.apiserver.verbs import (
    binding,
    creating,
    deleting,
    evicting,
    patching,
    reading,
    scaling,
    updating,
    watching,
)
from podling.apiserver.verbs.selecting import scope_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from podling.api.encoded import Encoded
    from podling.apiserver.paths import Target
    from podling.apiserver.record import Authorizer, User
    from podling.apiserver.registry import Registry

_LONGEST_WATCH = 1800.0
_CREATED = b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}'


class Subresource(Protocol):
    """Answers for one subresource that is not about the stored object itself (`serviceaccounts/token`)."""

    def __call__(self, request: Request, target: Target) -> Awaitable[Response]: ...


class Handler:
    """Answers every request about stored objects."""

    def __init__(
        self,
        registry: Registry,
        authorizer: Authorizer,
        subresources: Mapping[tuple[str, str], Subresource] | None = None,
    ) -> None:
        self._registry = registry
        self._authorizer = authorizer
        self.subresources = dict(subresources or {})
        self.representations = Representations(registry.clock.time)

    async def handle(self, request: Request, target: Target, verb: str) -> Response:
        """Answer one authorized request."""
        self._check_allowed(target, verb)
        response = await self._answer(request, target, verb)
        if target.record.deprecated:
            response.warnings = (target.record.deprecated, *response.warnings)
        return response

    async def _answer(self, request: Request, target: Target, verb: str) -> Response:
        record, subresource = target.record, target.subresource
        if subresource and subresource not in record.parts and subresource != "scale":
            return await self._subresource(request, target)
        wish = negotiate(request.accept)
        if wish.kind == "table":
            wish = with_include(wish, next((value for key, value in request.query if key == "includeObject"), ""))
        if subresource == "scale":
            return await self._scale(request, target, verb, wish)
        match verb:
            case "get":
                revision = next((value for key, value in request.query if key == "resourceVersion"), "")
                found = await reading.get(self._registry, record, target.namespace, target.name, revision)
                return self._object(target, wish, found)
            case "list" | "watch":
                return await self._collection(request, target, wish)
            case "create":
                return await self._create(request, target, wish)
            case "update":
                return await self._update(request, target, wish)
            case "patch":
                return await self._patch(request, target, wish)
            case "delete":
                return await self._delete(request, target, wish)
            case "deletecollection":
                return await self._delete_collection(request, target, wish)
            case _:
                raise not_allowed()

    def _check_allowed(self, target: Target, verb: str) -> None:
        record, subresource = target.record, target.subresource
        if subresource:
            verbs = record.subresource_verbs.get(subresource, ("get", "patch", "update"))
            if verb not in verbs:
                raise not_allowed()
        elif (
            verb not in record.verbs
            or (record.resource.namespaced and not target.namespace and verb not in {"list", "watch"})
            or (verb == "create" and target.name)
            or (verb in {"update", "patch"} and not target.name)
        ):
            raise not_allowed()
        if target.name:
            _check_name(target.name)

    async def _collection(self, request: Request, target: Target, wish: Wish) -> Response:
        options = list_options(request.query)
        record = target.record
        scope = scope_of(record, target.namespace, options.labels, options.fields, target.name)
        representation = self.representations.of(record, wish)
        if options.watch or target.watch:
            stream = await watching.open_watch(self._registry, record, scope, options)
            forms = (representation.form, representation.bookmark)
            return Response(
                content_type=representation.content_type,
                watching=Watching(
                    stream,
                    lambda encoded: frame_of("ADDED", encoded, representation.form),
                    lambda notice, kind: notice.frame(kind, forms[kind == "BOOKMARK"]),
                    self._initial_end(target, representation, stream.revision) if stream.initial_end else b"",
                    options.timeout or self._registry.chance.jitter(_LONGEST_WATCH, 1.0),
                ),
            )
        listing = await reading.list_page(self._registry, record, scope, options)
        pieces = representation.list(listing)
        if wish.yaml:
            return Response(body=to_yaml(b"".join(pieces)), content_type=representation.content_type)
        return Response(pieces=pieces, content_type=representation.content_type)

    def _initial_end(self, target: Target, representation: Representation, revision: int) -> bytes:
        bookmark = target.record.shape.bookmark(revision, watching.INITIAL_EVENTS_END)
        return frame_of("BOOKMARK", bookmark, representation.bookmark)

    async def _create(self, request: Request, target: Target, wish: Wish) -> Response:
        options, warnings = write_options(request.query), list[str]()
        made = await creating.create(
            self._registry, target, request.user, options, request.body, request.content_type, warnings
        )
        return self._object(target, wish, made, 201, warnings)

    async def _update(self, request: Request, target: Target, wish: Wish) -> Response:
        options, warnings = write_options(request.query, "UpdateOptions"), list[str]()
        made, created = await updating.update(
            self._registry,
            target,
            request.user,
            options,
            request.body,
            request.content_type,
            warnings,
            may_create=lambda: self._check_may_create(request.user, target),
        )
        return self._object(target, wish, made, 201 if created else 200, warnings)

    def _check_may_create(self, user: User, target: Target) -> None:
        """Refuse who may update but not create, where an update would create."""
        resource = target.record.resource
        asked = Attributes(
            user, "create", resource.group, resource.version, resource.plural, "", target.namespace, target.name
        )
        decision = self._authorizer.authorize(asked)
        if not decision.allowed:
            raise refusal(asked, decision.reason)

    async def _patch(self, request: Request, target: Target, wish: Wish) -> Response:
        options, warnings = write_options(request.query, "PatchOptions"), list[str]()
        made = await patching.patch(
            self._registry, target, request.user, options, request.body, request.content_type, warnings
        )
        return self._object(target, wish, made, 200, warnings)

    async def _delete(self, request: Request, target: Target, wish: Wish) -> Response:
        options, warnings = delete_options(request.query, request.body, request.content_type), list[str]()
        last, gone = await deleting.delete(self._registry, target, request.user, options, warnings)
        if gone and not target.record.deleted_in_full:
            return Response(200, _deleted(target, last), JSON, warnings)
        return self._object(target, wish, last, 200, warnings)

    async def _delete_collection(self, request: Request, target: Target, wish: Wish) -> Response:
        lists, warnings = list_options(request.query), list[str]()
        options = delete_options(request.query, request.body, request.content_type)
        scope = scope_of(target.record, target.namespace, lists.labels, lists.fields)
        done = await deleting.delete_collection(self._registry, target, scope, request.user, options, warnings)
        representation = self.representations.of(target.record, wish)
        listing = reading.Listing(done, self._registry.cache.revision)
        return Response(
            pieces=representation.list(listing), content_type=representation.content_type, warnings=warnings
        )

    async def _subresource(self, request: Request, target: Target) -> Response:
        options, warnings = write_options(request.query), list[str]()
        match target.record.resource.plural, target.subresource:
            case "pods", "binding":
                call = binding.bind
            case "pods", "eviction":
                call = evicting.evict
            case plural, subresource:
                served = self.subresources.get((plural, subresource))
                if served is None:
                    raise StatusError(501, "NotImplemented", f"{plural}/{subresource} is not served here", details={})
                return await served(request, target)
        await call(self._registry, target, request.user, options, request.body, request.content_type, warnings)
        return Response(201, _CREATED, JSON, warnings)

    async def _scale(self, request: Request, target: Target, verb: str, wish: Wish) -> Response:
        warnings = list[str]()
        if verb == "get":
            revision = next((value for key, value in request.query if key == "resourceVersion"), "")
            scale = await scaling.get(self._registry, target, revision)
        else:
            call, kind = (scaling.update, "UpdateOptions") if verb == "update" else (scaling.patch, "PatchOptions")
            options = write_options(request.query, kind)
            scale = await call(
                self._registry, target, request.user, options, request.body, request.content_type, warnings
            )
        return self._object(target._replace(record=scaling.SCALE), wish, scale, 200, warnings)

    def _object(
        self, target: Target, wish: Wish, encoded: Encoded, code: int = 200, warnings: list[str] | None = None
    ) -> Response:
        representation: Representation = self.representations.of(target.record, wish)
        body = representation.object(encoded)
        if wish.yaml:
            body = to_yaml(body)
        return Response(code, body, representation.content_type, warnings or ())


def _check_name(name: str) -> None:
    """Refuse a name that can be no part of a path, as upstream does before it looks for the object."""
    if name in {".", ".."}:
        wrong = [f"may not be '{name}'"]
    else:
        wrong = [f"may not contain '{character}'" for character in "/%" if character in name]
    if wrong:
        raise bad_request(f"Name parameter invalid: {quoted(name)}: {';'.join(wrong)}")


def not_allowed() -> StatusError:
    error = method_not_allowed("")
    error.message = "the server does not allow this method on the requested resource"
    return error


def _deleted(target: Target, last: Encoded) -> bytes:
    resource = target.record.resource
    details = {"name": last.name, "group": resource.group, "kind": resource.plural, "uid": last.uid}
    return msgspec.json.encode(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {key: value for key, value in details.items() if value},
        }
    )
