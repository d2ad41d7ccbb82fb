"""The machine itself as a `Host`, or a further node in a network namespace of it.

Owns the launching thread of a node. Invariant: with a `network_namespace` every process and socket of this handle
belongs to that namespace.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from podling.aio.clock import SystemClock
from podling.linux import datagrams, internet, namespaces
from podling.linux.dial import dial, exchange
from podling.linux.spawn import Launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.aio.clock import Clock
    from podling.linux.host import Completed


def _watch_children_by_pidfd() -> None:
    # Python 3.11's default costs a thread for each child; from 3.12 on pidfds are the default.
    if sys.version_info < (3, 12):
        policy = asyncio.get_event_loop_policy()
        watcher = policy.get_child_watcher()
        if isinstance(watcher, asyncio.ThreadedChildWatcher):
            watcher = asyncio.PidfdChildWatcher()
            policy.set_child_watcher(watcher)
        if not watcher.is_active():
            watcher.attach_loop(asyncio.get_running_loop())


class LocalHost:
    """One node's hands on this machine."""

    def __init__(self, name: str = "", network_namespace: str = "", *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._name = name or socket.gethostname()
        self._namespace = network_namespace
        self._launcher = Launcher(self._enter if network_namespace else None, clock=self._clock)

    @property
    def name(self) -> str:
        return self._name

    @property
    def network_namespace(self) -> str:
        return self._namespace

    def _enter(self) -> None:
        namespaces.enter(self._namespace)

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
        limit: int = 1 << 20,
        pass_fds: Sequence[int] = (),
    ) -> Completed:
        return await self._launcher.run(
            argv, stdin=stdin, timeout=timeout, environment=environment, limit=limit, pass_fds=pass_fds
        )

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        new_session: bool = False,
    ) -> asyncio.subprocess.Process:
        if self._namespace:
            # asyncio starts children from the loop's own thread, which stays in the machine's namespace.
            argv = ["nsenter", f"--net={self._namespace}", "--", *argv]
        _watch_children_by_pidfd()
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            pass_fds=pass_fds,
            start_new_session=new_session,
        )

    async def connect(
        self, address: str, port: int, *, timeout: float | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with self._clock.timeout(timeout):
            connection = await connect_inside(self._namespace, address, port)
            return await asyncio.open_connection(sock=connection)

    async def dial(self, address: str, port: int) -> None:
        await dial(self._namespace, address, port)

    async def exchange(
        self,
        address: str,
        port: int,
        request: bytes,
        is_whole: Callable[[bytearray], bool],
        *,
        limit: int,
        tls: bool = False,
    ) -> bytes:
        return await exchange(self._namespace, address, port, request, is_whole, limit=limit, tls=tls)

    def listen(self, address: str, port: int) -> socket.socket:
        def open_socket() -> socket.socket:
            listener = internet.opened(address, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(internet.place(address, port))
                listener.listen(1024)
            except BaseException:
                listener.close()
                raise
            return listener

        return namespaces.inside(self._namespace, open_socket)

    def datagrams(self, address: str, port: int) -> socket.socket:
        return namespaces.inside(self._namespace, lambda: datagrams.bound(address, port))

    async def converse(
        self, address: str, port: int, packet: bytes, is_answer: Callable[[bytes], bool], *, timeout: float
    ) -> bytes:
        async with self._clock.timeout(timeout):
            return await datagrams.converse(self._namespace, address, port, packet, is_answer)

    def close(self) -> None:
        """End the launching thread; processes live on."""
        self._launcher.close()


async def connect_inside(namespace: str, address: str, port: int) -> socket.socket:
    """Return a connected non-blocking TCP socket that belongs to the network namespace pinned at `namespace`."""

    def open_socket() -> tuple[internet.Place, socket.socket]:
        return internet.place(address, port), internet.opened(address, socket.SOCK_STREAM)

    where, connection = await namespaces.inside_async(namespace, open_socket) if namespace else open_socket()
    try:
        await asyncio.get_running_loop().sock_connect(connection, where)
    except BaseException:
        connection.close()
        raise
    return connection
