"""One short conversation over TCP, as cheap as it can be: what probes and HTTP hooks need thousands of.

Owns connect-and-hang-up and request-and-answer on bare sockets, without streams, protocols or a task of their own.
Knows no HTTP. Invariants: never more than `limit` bytes are kept; the socket is closed however the call ends,
cancellation included; nothing blocks the loop.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from typing import TYPE_CHECKING

from podling.linux import internet, namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 16384


class NotEncrypted(OSError):
    """The other side speaks, but no TLS."""


async def dial(namespace: str, address: str, port: int) -> None:
    """Connect from the network namespace pinned at `namespace` and hang up; `OSError` says why not."""
    (await _connected(namespace, address, port)).close()


async def exchange(
    namespace: str,
    address: str,
    port: int,
    request: bytes,
    is_whole: Callable[[bytearray], bool],
    *,
    limit: int,
    tls: bool = False,
) -> bytes:
    """Send `request` and return what comes until it `is_whole`, the other side ends, or `limit` bytes are there.

    With `tls` nothing of the other side's certificate is checked, as upstream's probes do; `NotEncrypted` where it
    answers without.
    """
    connection = await _connected(namespace, address, port)
    if tls:
        return await _encrypted(connection, request, is_whole, limit)
    loop = asyncio.get_running_loop()
    answer = bytearray()
    try:
        await loop.sock_sendall(connection, request)
        while len(answer) < limit and not is_whole(answer):
            data = await loop.sock_recv(connection, min(_CHUNK, limit - len(answer)))
            if not data:
                break
            answer += data
    finally:
        connection.close()
    return bytes(answer)


async def _encrypted(
    connection: socket.socket, request: bytes, is_whole: Callable[[bytearray], bool], limit: int
) -> bytes:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    answer = bytearray()
    try:
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=context, server_hostname="", limit=_CHUNK, ssl_shutdown_timeout=0.2
        )
    except ssl.SSLError as error:
        connection.close()
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"):
            raise NotEncrypted(errno.EPROTO, "the answer is no TLS") from error
        raise
    except BaseException:
        connection.close()
        raise
    try:
        writer.write(request)
        await writer.drain()
        while len(answer) < limit and not is_whole(answer):
            data = await reader.read(min(_CHUNK, limit - len(answer)))
            if not data:
                break
            answer += data
    finally:
        writer.transport.abort()
    return bytes(answer)


async def _connected(namespace: str, address: str, port: int) -> socket.socket:
    host = await _resolved(address)

    def open_socket() -> tuple[internet.Place, socket.socket]:
        return internet.place(host, port), internet.opened(host, socket.SOCK_STREAM)

    where, connection = await namespaces.inside_async(namespace, open_socket) if namespace else open_socket()
    try:
        code = connection.connect_ex(where)
        if code == errno.EINPROGRESS:
            # What is on this machine has answered by now, and needs no turn of the loop.
            if not _is_writable(connection):
                await _writable(connection)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        connection.close()
        raise
    return connection


def _is_writable(connection: socket.socket) -> bool:
    asked = select.poll()
    asked.register(connection.fileno(), select.POLLOUT)
    return bool(asked.poll(0))


async def _writable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(connection.fileno(), wake)
    try:
        await ready
    finally:
        loop.remove_writer(connection.fileno())


async def _resolved(host: str) -> str:
    """Return an address as it is; a name is looked up as the machine does."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return host
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])
