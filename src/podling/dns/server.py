"""The sockets of the cluster's DNS: packets in, answers out, over UDP and TCP.

Owns reading and writing, and the bounds on both. Knows no names. Invariants: a packet, whatever is in it, never ends
the server; a burst never holds the loop for longer than `_AT_ONCE` packets; an answer is sent once, to whom asked, from
the address that was asked, and never grows what it answers into more than one packet.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from podling.dns.answers import Forward

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Sequence

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.dns.answers import Answers
    from podling.dns.forwarder import Forwarder
    from podling.linux.host import Host
    from podling.linux.internet import Place

_Read = TypeVar("_Read")

PORT: Final = 53
_AT_ONCE: Final = 64
_LARGEST: Final = 4096
"""Bytes of a question over UDP that are read."""
_WAITING: Final = 1024
"""How many packets may wait for other resolvers at a time; beyond them the answer is that nobody knows."""
_WAITING_EACH: Final = 128
"""The same of one client: none can take it all."""
_STREAMS: Final = 256
_STREAMS_EACH: Final = 32
_IDLE: Final = 10.0
"""Seconds for which a TCP connection may be silent."""
_LENGTH: Final = struct.Struct("!H")


class DnsServer:
    """Answers on some addresses, one of each family mostly."""

    def __init__(
        self, host: Host, answers: Answers, forwarder: Forwarder, clock: Clock, supervisor: Supervisor
    ) -> None:
        self._host = host
        self._answers = answers
        self._forwarder = forwarder
        self._clock = clock
        self._supervisor = supervisor
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._waiting: Counter[str] = Counter()
        self._streams: dict[asyncio.Task[None], str] = {}

    async def start(self, addresses: Sequence[str], port: int = PORT) -> int:
        """Listen; returns the port, the same for UDP and TCP of every address. `OSError` where one is taken."""
        try:
            for address in addresses:
                port = await self._listen(address, port)
        except BaseException:
            await self.close()
            raise
        return port

    async def _listen(self, address: str, port: int) -> int:
        listener = self._host.listen(address, port)
        try:
            port = listener.getsockname()[1]
            own = self._host.datagrams(address, port)
        except BaseException:
            listener.close()
            raise
        self._listeners.append(await asyncio.start_server(self._serve, sock=listener))
        self._sockets.append(own)
        asyncio.get_running_loop().add_reader(own, self._read, own)
        return port

    async def close(self) -> None:
        """Stop listening; who waits for an answer asks again."""
        for own in self._sockets:
            asyncio.get_running_loop().remove_reader(own)
            own.close()
        self._sockets.clear()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        streams = list(self._streams)
        for task in streams:
            task.cancel()
        if streams:
            await asyncio.wait(streams)

    def _read(self, own: socket.socket) -> None:
        quick, receive, send = self._answers.quick, own.recvfrom, own.sendto
        for _ in range(_AT_ONCE):
            try:
                packet, sender = receive(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                continue  # somebody's refusal of an earlier answer
            answer = quick(packet) or self._answer(own, packet, sender)
            if answer is not None:
                try:
                    send(answer, sender)
                except OSError:
                    continue  # no room or no way: who asked asks again

    def _answer(self, own: socket.socket, packet: bytes, sender: Place) -> bytes | None:
        made = self._answers.answer(packet)
        if not isinstance(made, Forward):
            return made
        held = self._forwarder.known(made)
        if held is not None:
            return self._answers.forwarded(made, *held)
        full = self._waiting[sender[0]] >= _WAITING_EACH or self._waiting.total() >= _WAITING
        if full or self._supervisor.is_stopping:
            return self._answers.forwarded(made, None, 0)
        self._waiting[sender[0]] += 1
        self._supervisor.job("dns forward", self._forward(own, made, sender))
        return None

    async def _forward(self, own: socket.socket, forward: Forward, sender: Place) -> None:
        try:
            reply, age = await self._forwarder.ask(forward)
        finally:
            self._waiting[sender[0]] -= 1
            if not self._waiting[sender[0]]:
                del self._waiting[sender[0]]
        if own in self._sockets:
            try:
                own.sendto(self._answers.forwarded(forward, reply, age), sender)
            except OSError:
                return  # no room or no way: who asked asks again

    # TCP.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        client = str(writer.get_extra_info("peername", ("",))[0])
        full = len(self._streams) >= _STREAMS or list(self._streams.values()).count(client) >= _STREAMS_EACH
        if task is None or full:
            writer.close()
            return
        self._streams[task] = client
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._timely(reader.readexactly(2)))
                packet = await self._timely(reader.readexactly(length))
                answer = await self._streamed(packet)
                if answer is None:
                    return
                writer.write(_LENGTH.pack(len(answer)) + answer)
                await self._timely(writer.drain())
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            del self._streams[task]
            writer.close()

    async def _timely(self, work: Awaitable[_Read]) -> _Read:
        async with self._clock.timeout(_IDLE):
            return await work

    async def _streamed(self, packet: bytes) -> bytes | None:
        made = self._answers.answer(packet, stream=True)
        if not isinstance(made, Forward):
            return made
        reply, age = await self._forwarder.ask(made, stream=True)
        return self._answers.forwarded(made, reply, age, stream=True)
