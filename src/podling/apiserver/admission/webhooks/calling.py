"""One POST to a webhook, over TLS, and what came back.

Owns connections and nothing else: who is asked, for how long and what an answer means is decided elsewhere. Invariants:
the certificate is checked against the bundle and the name that were given; never more than `LONGEST` bytes are kept;
a redirect is not followed; the socket is closed however the call ends, cancellation included.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import ssl
from typing import TYPE_CHECKING, Final

from podling.apiserver.admission.webhooks.destination import Unreachable
from podling.apiserver.kubelet_proxy.forwarding import Head, body_of, head_of

if TYPE_CHECKING:
    from podling.apiserver.admission.webhooks.destination import Destination

LONGEST: Final = 8 * 1024 * 1024
_HEAD: Final = 64 * 1024
_SHOWN: Final = 256
_CONTEXTS: Final = 64


class HttpsCaller:
    """A connection for each call."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def post(self, destination: Destination, body: bytes) -> bytes:
        context = self._context(destination.bundle)
        where = f"dial tcp {destination.host}:{destination.port}"
        try:
            reader, writer = await asyncio.open_connection(
                destination.host, destination.port, ssl=context, server_hostname=destination.name, limit=_HEAD
            )
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"tls: failed to verify certificate: x509: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise Unreachable(f"tls: {error.reason or error}") from error
        except OSError as error:
            why = f"connect: {os.strerror(error.errno).lower()}" if error.errno and error.errno > 0 else str(error)
            raise Unreachable(f"{where}: {why}") from error
        try:
            writer.write(_request(destination, body) + body)
            await writer.drain()
            while (head := await head_of(reader)).code == 100:
                pass
            return await _answer(head, reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Unreachable(str(error) or "EOF") from error
        except (asyncio.LimitOverrunError, ValueError) as error:
            raise Unreachable(f"net/http: HTTP/1.x transport connection broken: {error}") from error
        finally:
            writer.transport.abort()

    def _context(self, bundle: str) -> ssl.SSLContext:
        context = self._contexts.get(bundle)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            try:
                if bundle:
                    context.load_verify_locations(cadata=base64.b64decode(bundle).decode("ascii"))
                else:
                    context.load_default_certs()
            except (ssl.SSLError, ValueError, binascii.Error) as error:
                raise Unreachable(f"unable to load root certificates: {error}") from error
            if len(self._contexts) >= _CONTEXTS:
                self._contexts.clear()
            self._contexts[bundle] = context
        return context


def _request(destination: Destination, body: bytes) -> bytes:
    lines = (
        f"POST {destination.target} HTTP/1.1",
        f"Host: {destination.authority}",
        "User-Agent: podling",
        "Content-Type: application/json",
        "Accept: application/json, */*",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def _answer(head: Head, reader: asyncio.StreamReader) -> bytes:
    limit = LONGEST if head.code == 200 else _SHOWN
    body = bytearray()
    async for piece in body_of(head, reader):
        body += piece
        if len(body) > limit:
            break
    if head.code == 200:
        if len(body) > LONGEST:
            raise Unreachable(f"the answer is longer than {LONGEST} bytes")
        return bytes(body)
    if head.code == 404:
        raise Unreachable("the server could not find the requested resource")
    if head.code >= 500:
        said = bytes(body[:_SHOWN]).decode("utf-8", "replace").strip()
        raise Unreachable(f'an error on the server ("{said}") has prevented the request from succeeding')
    raise Unreachable(f"the server responded with the status code {head.code} but did not return more information")
