"""How probes and hooks reach a port: the few things they need, on a real node and on a simulated one.

Owns the Protocol `Wire` and its real form over `linux.Host`. Knows no probe and no status code. A simulated runtime is
a `Wire` itself and answers from its script. Failures are `OSError` and `TimeoutError`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from podling.api.validation.addresses import bracketed

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.aio.clock import Clock
    from podling.linux.host import Host


class Endpoint(Struct, frozen=True):
    """A port to ask. `container` is whom it is thought to be, for those who simulate it."""

    container: str
    address: str
    port: int

    @property
    def text(self) -> str:
        """`ADDRESS:PORT`, with brackets around an IPv6 address, as Go joins them."""
        return f"{bracketed(self.address)}:{self.port}"


def go_error(error: OSError, end: Endpoint) -> str:
    """Return a failed connection in Go's words: `dial tcp ADDRESS:PORT: connect: connection refused`."""
    said = {
        errno.ECONNREFUSED: "connect: connection refused",
        errno.EHOSTUNREACH: "connect: no route to host",
        errno.ENETUNREACH: "connect: network is unreachable",
        errno.ETIMEDOUT: "connect: connection timed out",
    }.get(error.errno or 0)
    if said is not None:
        return f"dial tcp {end.text}: {said}"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return f"read tcp {end.text}: read: connection reset by peer"
    return f"dial tcp {end.text}: {(error.strerror or str(error)).lower()}"


class Wire(Protocol):
    """What is needed of a network. None of it bounds its own time: the caller does."""

    async def connect(self, container: str, address: str, port: int) -> None:
        """Connect and hang up."""
        ...

    async def exchange(
        self,
        container: str,
        address: str,
        port: int,
        request: bytes,
        is_whole: Callable[[bytearray], bool],
        *,
        limit: int,
        tls: bool = False,
    ) -> bytes:
        """Send a request and return at most `limit` bytes of the answer, ended where it `is_whole`."""
        ...

    async def health(
        self, container: str, address: str, port: int, service: str, timeout: float
    ) -> tuple[int, str, str]:
        """Ask a gRPC health service: the call's code, its message, and the service's status."""
        ...


class HostWire:
    """The network as a node has it."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self._clock = clock

    async def connect(self, container: str, address: str, port: int) -> None:
        del container
        await self._host.dial(address, port)

    async def exchange(
        self,
        container: str,
        address: str,
        port: int,
        request: bytes,
        is_whole: Callable[[bytearray], bool],
        *,
        limit: int,
        tls: bool = False,
    ) -> bytes:
        del container
        return await self._host.exchange(address, port, request, is_whole, limit=limit, tls=tls)

    async def health(
        self, container: str, address: str, port: int, service: str, timeout: float
    ) -> tuple[int, str, str]:
        from podling.kubelet.probes.grpc import check_health

        del container
        reader, writer = await self._host.connect(address, port, timeout=timeout)
        try:
            return await check_health(reader, writer, Endpoint("", address, port).text, service, timeout)
        finally:
            writer.transport.abort()
