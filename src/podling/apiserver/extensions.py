"""What the chain serves beside stored objects: discovery, OpenAPI, reviews, tokens, put into the chain's words.

Owns the adaptation only; what they say stands in their modules, loaded when first asked for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from podling.api.body import decode_body
from podling.api.conform import conform
from podling.api.schema import Schema
from podling.apiserver.admission.node_tokens import check_token_request
from podling.apiserver.admission.operation import Operation
from podling.apiserver.handler import not_allowed
from podling.apiserver.messages import Request, Response
from podling.apiserver.options import write_options
from podling.apiserver.representations import negotiate
from podling.apiserver.reviews import RESOURCES
from podling.apiserver.verbs.writing import ask, judge_strictness, mutate, new_context

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.aio.clock import Clock
    from podling.apiserver.discovery import Discovery
    from podling.apiserver.identity.tokens import TokenIssuer
    from podling.apiserver.openapi import OpenApi
    from podling.apiserver.paths import ResourcePath, Routes, Target
    from podling.apiserver.registry import Registry
    from podling.apiserver.reviews import Reviews


class DiscoveryExtension:
    """`/api`, `/apis` and what lies under them up to the resources."""

    def __init__(self, routes: Routes, address: str = "") -> None:
        self._routes = routes
        self._address = address
        self._discovery: Discovery | None = None
        self._edition = -1

    async def serve(self, request: Request, path: ResourcePath | None) -> Response | None:
        if path is not None or not request.path.startswith("/api") or request.method not in {"GET", "HEAD"}:
            return None
        document = self._made().answer(request.path, request.accept)
        if document is None:
            return None
        headers = {"ETag": document.etag, "Vary": "Accept"}
        if request.headers.get("if-none-match") == document.etag:
            return Response(304, b"", document.content_type, headers=headers)
        return Response(200, document.body, document.content_type, headers=headers)

    def paths(self) -> Iterable[str]:
        return self._made().paths()

    def _made(self) -> Discovery:
        if self._discovery is None or self._edition != self._routes.edition:
            from podling.apiserver.discovery import Discovery

            self._edition = self._routes.edition
            self._discovery = Discovery(self._routes.records(), RESOURCES, self._address)
        return self._discovery


class OpenApiExtension:
    """`/openapi/v2`, `/openapi/v3` and what lies under it."""

    def __init__(self, routes: Routes, clock: Clock) -> None:
        self._routes = routes
        self._clock = clock
        self._documents: OpenApi | None = None
        self._edition = -1

    async def serve(self, request: Request, path: ResourcePath | None) -> Response | None:
        if path is not None or not request.path.startswith("/openapi/v") or request.method not in {"GET", "HEAD"}:
            return None
        if self._documents is None or self._edition != self._routes.edition:
            from podling.apiserver.openapi import OpenApi

            self._edition = self._routes.edition
            self._documents = OpenApi(self._routes.records(), RESOURCES, before=self._documents)
        documents, asked, accept = self._documents, request.path, request.accept
        if not documents.is_ready(asked, accept):
            with self._clock.external():
                await asyncio.to_thread(documents.answer, asked, accept)
        document = documents.answer(asked, accept)
        if document is None:
            return None
        headers = {"ETag": document.etag, "Vary": "Accept"}
        if request.headers.get("if-none-match") == document.etag:
            return Response(304, b"", document.content_type, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            compressed = documents.compressed(asked, accept)
            if compressed is not None:
                headers["Content-Encoding"] = "gzip"
                return Response(200, compressed, document.content_type, headers=headers)
        return Response(200, document.body, document.content_type, headers=headers)

    def paths(self) -> Iterable[str]:
        return "/openapi/v2", "/openapi/v3"


class IssuerExtension:
    """What anybody needs who would verify ServiceAccount tokens by herself."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer

    async def serve(self, request: Request, path: ResourcePath | None) -> Response | None:
        if path is not None or request.method not in {"GET", "HEAD"}:
            return None
        headers = {"Cache-Control": "public, max-age=3600"}
        match request.path:
            case "/.well-known/openid-configuration":
                return Response(200, self._issuer.openid_configuration(), headers=headers)
            case "/openid/v1/jwks":
                return Response(200, self._issuer.jwks(), "application/jwk-set+json", headers=headers)
            case _:
                return None

    def paths(self) -> Iterable[str]:
        return "/.well-known/openid-configuration", "/openid/v1/jwks"


class ReviewsExtension:
    """Reviews: created, answered, and never stored."""

    def __init__(self, reviews: Reviews, clock: Clock) -> None:
        self._reviews = reviews
        self._clock = clock
        self._resources = {(it.group, it.version, it.plural): it for it in RESOURCES}

    async def serve(self, request: Request, path: ResourcePath | None) -> Response | None:
        if path is None:
            return None
        resource = self._resources.get((path.group, path.version, path.resource))
        if resource is None or path.name or bool(path.namespace) != resource.namespaced:
            return None
        if request.method != "POST":
            raise not_allowed()
        negotiate(request.accept, stored=False)
        validation, warnings = write_options(request.query).validation, list[str]()
        read = decode_body(request.body, request.content_type, resource.kind)
        schema = Schema.of_kind(resource.group, resource.version, resource.kind)
        problems = conform(read.tree, schema)
        judge_strictness(validation, read.sentences(problems.unknown), warnings)
        tree = self._reviews.create(resource, read.tree, request.user, now=self._clock.time(), namespace=path.namespace)
        return Response(201, msgspec.json.encode(tree), warnings=warnings)

    def paths(self) -> Iterable[str]:
        return ()


class TokenSubresource:
    """`serviceaccounts/token`: a token for an account, made and not stored."""

    def __init__(self, issuer: TokenIssuer, registry: Registry) -> None:
        self._issuer = issuer
        self._registry = registry

    async def __call__(self, request: Request, target: Target) -> Response:
        options, warnings = write_options(request.query), list[str]()
        read = decode_body(request.body, request.content_type, "TokenRequest")
        problems = conform(read.tree, Schema.of_kind("authentication.k8s.io", "v1", "TokenRequest"))
        judge_strictness(options.validation, read.sentences(problems.unknown), warnings)
        asked = read.tree
        registry, namespace, name = self._registry, target.namespace, target.name
        check_token_request(registry.find, request.user, namespace, name, asked)
        context = new_context(registry, request.user, warnings, dry_run=options.dry_run)
        operation = Operation("CREATE", target.record, target.subresource, namespace, name, asked, None, context)
        if await mutate(registry, operation):
            check_token_request(registry.find, request.user, namespace, name, asked)
        await ask(registry, operation)
        tree = self._issuer.request(namespace, name, asked, registry.clock.time())
        return Response(201, msgspec.json.encode(tree), warnings=warnings)
