"""The proxy: finds the backend of a request, and passes the request on to it.

Owns which backend: a Pod's kubelet for its log and streams, the kubelet itself for a node's proxy path, the Pod's own
port for a Pod's, a ready endpoint's for a Service's. The caller is authenticated and authorized by now.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from podling.aio.takeover import Taken
from podling.api.errors import StatusError, bad_request, internal, service_unavailable
from podling.api.resources import PODS
from podling.api.validation.addresses import bracketed
from podling.apiserver.backends import endpoint_of
from podling.apiserver.kubelet_proxy import forwarding, pages, targets
from podling.apiserver.kubelet_proxy.links import Links
from podling.apiserver.paths import resource_path

if TYPE_CHECKING:
    from aiohttp import web

    from podling.api.encoded import Encoded
    from podling.apiserver.paths import ResourcePath
    from podling.apiserver.record import User
    from podling.apiserver.registry import Registry
    from podling.client.seams import NodeConnection
    from podling.linux.host import Host

_STREAMS = frozenset({"exec", "attach", "portforward"})
_DIAL_PATIENCE = 30.0


class ConnectionProxy:
    """Serves what only a kubelet, or a Pod behind it, can answer."""

    def __init__(self, registry: Registry, nodes: NodeConnection, host: Host) -> None:
        self._registry = registry
        self._nodes = nodes
        self._host = host
        self._serving: set[asyncio.Task[object]] = set()

    async def serve(
        self, request: web.BaseRequest, *, pod: Encoded, subresource: str, user: User
    ) -> web.StreamResponse:
        """Answer a request about `pod`, which for proxy paths may be a Service or a Node."""
        del user  # the backend sees the API server as its caller, as with upstream
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            if subresource == "proxy":
                return await self._proxy(request, pod)
            query = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True)
            view = pod.view(PODS.type)
            if subresource == "log":
                return await self._log(request, targets.log_path(view, query), view.spec.node_name, pod.name)
            node = targets.host_of(view)
            target = targets.stream_path(view, subresource, query)
            if not _is_upgrade(request):
                raise bad_request("Upgrade request required")
            return await self._pass(request, await self._nodes.connect(node), target, node)
        finally:
            self._serving.discard(task)

    async def close(self) -> None:
        """Cut what is being passed on."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _log(self, request: web.BaseRequest, target: str, node: str, name: str) -> web.StreamResponse:
        if not node:
            return _nothing(request)
        reader, writer = await self._nodes.connect(node)
        try:
            head = await forwarding.ask(request, reader, writer, target, node, upgrade=_is_upgrade(request))
            if head.code == 101:
                return await forwarding.tunnel(request, head, reader, writer)
            if head.code == 200:
                return await forwarding.pass_answer(request, head, reader)
            text = await forwarding.short_body(head, reader)
        finally:
            writer.close()
        if head.code == 400:
            raise bad_request(text)
        if head.code == 404:
            raise StatusError(
                404,
                "NotFound",
                f"the server could not find the requested resource ( pods/log {name})",
                details={"name": name, "kind": "pods/log"},
            )
        raise internal(text)

    async def _proxy(self, request: web.BaseRequest, found: Encoded) -> web.StreamResponse:
        raw_path, _, raw_query = request.raw_path.partition("?")
        path = resource_path(raw_path)
        assert path is not None
        prefix, rest = targets.proxy_path(raw_path, path)
        query = "?" + raw_query if raw_query else ""
        if rest is None and request.method in {"GET", "HEAD"}:
            return _redirect(request, f"{prefix}/{query}")
        target = f"/{rest or ''}{query}"
        if path.resource == "nodes":
            streams, authority = await self._nodes.connect(found.name), found.name
        else:
            scheme, address, port = self._backend(path, found)
            authority = f"{bracketed(address)}:{port}"
            streams = await self._dial(scheme, address, port)
        links = Links(prefix, authority, request.headers.get("Host", ""))
        return await self._pass(request, streams, target, authority, links)

    def _backend(self, path: ResourcePath, found: Encoded) -> tuple[str, str, int]:
        scheme, _, port = targets.scheme_name_port(path.name)
        if path.resource == "services":
            return (scheme, *endpoint_of(self._registry, found, port))
        pod = found.view(PODS.type)
        if not targets.is_global_unicast(pod.status.pod_ip):
            raise bad_request("address not allowed")
        if not port:
            ports = [it.container_port for container in pod.spec.containers for it in container.ports]
            port = str(ports[0]) if ports else "443" if scheme == "https" else "80"
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise bad_request(f'invalid pod request "{path.name}"')
        return scheme, pod.status.pod_ip, int(port)

    async def _dial(self, scheme: str, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            if scheme == "https":
                import ssl

                # As upstream does: whoever proxies to a Pod takes its certificate as it is.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                async with self._registry.clock.timeout(_DIAL_PATIENCE):
                    return await asyncio.open_connection(address, port, ssl=context)
            return await self._host.connect(address, port, timeout=_DIAL_PATIENCE)
        except (OSError, TimeoutError) as error:
            why = f"connect: {os.strerror(error.errno).lower()}" if error.errno else str(error) or "i/o timeout"
            raise service_unavailable(f"error trying to reach service: dial tcp {address}:{port}: {why}") from error

    async def _pass(
        self,
        request: web.BaseRequest,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        target: str,
        host: str,
        links: Links | None = None,
    ) -> web.StreamResponse:
        reader, writer = streams
        more = () if links is None else (f"X-Forwarded-Uri: {links.prefix}{target.partition('?')[0]}",)
        try:
            head = await forwarding.ask(request, reader, writer, target, host, upgrade=_is_upgrade(request), more=more)
            if head.code == 101:
                return await forwarding.tunnel(request, head, reader, writer)
            if links is None:
                return await forwarding.pass_answer(request, head, reader)
            return await pages.pass_answer(request, head, reader, links, self._registry.clock)
        finally:
            writer.close()


def _is_upgrade(request: web.BaseRequest) -> bool:
    return "upgrade" in request.headers.get("Connection", "").lower() and bool(request.headers.get("Upgrade"))


def _nothing(request: web.BaseRequest) -> web.StreamResponse:
    """Answer as upstream does for a Pod that has no node: there is no log yet, and that is no error."""
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    return Taken(status=204, keep=request.keep_alive)


def _redirect(request: web.BaseRequest, location: str) -> web.StreamResponse:
    if request.transport is not None:
        head = f"HTTP/1.1 301 Moved Permanently\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        request.transport.write(head.encode())
    return Taken(status=301, keep=request.keep_alive)
