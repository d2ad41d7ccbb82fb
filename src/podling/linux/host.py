"""The handle through which a node acts on its machine.

Owns the Protocol `Host`: the only way to open a socket, spawn a process or move between network namespaces. The first
node of a machine is the machine itself; a further node owns a network namespace, and its handle does the same things
in there. Invariant: what a handle opens belongs to its network namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended."""

    code: int
    """As `subprocess` has it: negative is the signal that ended it."""
    stdout: bytes
    stderr: bytes


class Host(Protocol):
    """One node's hands. Async where it can block."""

    @property
    def name(self) -> str:
        """The machine's host name, or the further node's name."""
        ...

    @property
    def network_namespace(self) -> str:
        """Path of the node's network namespace; empty for the machine's own."""
        ...

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
        """Run a command to its end, keeping at most `limit` bytes of each output; `TimeoutError` kills it."""
        ...

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
        """Start a command; file descriptors or `asyncio.subprocess` constants for its streams."""
        ...

    async def connect(
        self, address: str, port: int, *, timeout: float | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a TCP connection from this node."""
        ...

    async def dial(self, address: str, port: int) -> None:
        """Connect over TCP from this node and hang up; `OSError` says why not."""
        ...

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
        """Send `request` over TCP; return what comes until it `is_whole`, ends, or `limit` bytes are there."""
        ...

    def listen(self, address: str, port: int) -> socket.socket:
        """Bind and listen on TCP; port 0 takes a free one. An IPv6 address is of that family alone, `::` too."""
        ...

    def datagrams(self, address: str, port: int) -> socket.socket:
        """Bind on UDP, with room for a burst; as `listen` otherwise."""
        ...

    async def converse(
        self, address: str, port: int, packet: bytes, is_answer: Callable[[bytes], bool], *, timeout: float
    ) -> bytes:
        """Send one packet over UDP, from a port of its own, and return the first that `is_answer`."""
        ...
