"""Asks the node's resolvers for what is not the cluster's, and remembers what they said.

Owns the conversations with resolvers and a bounded store of answers. Invariants: nobody is asked the same question
twice at a time, so that a resolver that asks us back is answered by silence and not by a storm; what is in flight is
bounded; an answer is kept no longer than it says, nor than half a minute; who answers another question is not heard.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final

from podling.dns import wire
from podling.dns.replies import read_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.dns.answers import Forward
    from podling.dns.replies import Reply
    from podling.linux.host import Host

PORT: Final = 53
_PATIENCE: Final = 2.0
"""Seconds for which one resolver is waited for."""
_ATTEMPTS: Final = 3
_LONGEST: Final = 30
_FAILURE: Final = 1
"""Seconds for which it is remembered that nobody answered."""
_IN_FLIGHT: Final = 512
_REMEMBERED: Final = 4 << 20
"""Bytes of questions and answers: what somebody else's server says can be as long as it likes."""
_OVERHEAD: Final = 1000
"""Bytes that each costs beside what is in it, and beside its records."""
_OF_RECORD: Final = 200
_LENGTH: Final = struct.Struct("!H")

_Key = tuple[bytes, bool, bool, bool]


class Forwarder:
    """`resolvers` gives the addresses to ask, first to last, whenever somebody is to be asked."""

    def __init__(
        self, host: Host, clock: Clock, chance: Chance, resolvers: Callable[[], Sequence[str]], *, port: int = PORT
    ) -> None:
        self._host = host
        self._clock = clock
        self._chance = chance
        self._resolvers = resolvers
        self._port = port
        self._known: dict[_Key, tuple[float, float, Reply | None]] = {}
        self._size = 0
        self._asked: dict[_Key, asyncio.Future[Reply | None]] = {}

    def known(self, forward: Forward, *, stream: bool = False) -> tuple[Reply | None, int] | None:
        """Return what is remembered, and how many seconds ago it was said; `None` where somebody must be asked."""
        held = self._known.get(_key(forward, stream=stream))
        if held is None:
            return None
        said, until, reply = held
        now = self._clock.monotonic()
        if now >= until:
            self._forget(_key(forward, stream=stream))
            return None
        return reply, int(now - said)

    async def ask(self, forward: Forward, *, stream: bool = False) -> tuple[Reply | None, int]:
        """Return what the resolvers say, or remember; no reply where none of them answers."""
        held = self.known(forward, stream=stream)
        if held is not None:
            return held
        key = _key(forward, stream=stream)
        waiting = self._asked.get(key)
        if waiting is not None:
            return await asyncio.shield(waiting), 0
        if len(self._asked) >= _IN_FLIGHT:
            return None, 0
        waiting = self._asked[key] = asyncio.get_running_loop().create_future()
        reply = None
        try:
            reply = await self._ask(forward, stream=stream)
            self._remember(key, reply)
        finally:
            del self._asked[key]
            waiting.set_result(reply)
        return reply, 0

    def _remember(self, key: _Key, reply: Reply | None) -> None:
        if reply is None:
            seconds = _FAILURE
        elif reply.code in (wire.OK, wire.NXDOMAIN) and not reply.flags & wire.TC:
            seconds = min(reply.ttl, _LONGEST)
        else:
            return
        if seconds:
            now = self._clock.monotonic()
            self._forget(key)
            size = _size(key, reply)
            while self._known and self._size + size > _REMEMBERED:
                self._forget(next(iter(self._known)))
            self._known[key] = (now, now + seconds, reply)
            self._size += size

    def _forget(self, key: _Key) -> None:
        held = self._known.pop(key, None)
        if held is not None:
            self._size -= _size(key, held[2])

    async def _ask(self, forward: Forward, *, stream: bool) -> Reply | None:
        servers = list(self._resolvers())
        for attempt in range(_ATTEMPTS if servers else 0):
            reply = await self._ask_one(servers[attempt % len(servers)], forward, stream=stream)
            if reply is not None and reply.code != wire.SERVFAIL:
                return reply
        return None

    async def _ask_one(self, server: str, forward: Forward, *, stream: bool) -> Reply | None:
        id_ = self._chance.below(1 << 16)
        query = forward.query
        packet = wire.write_query(
            id_, forward.question, dnssec=query.dnssec, checking_disabled=bool(query.flags & wire.CD)
        )
        head, asked = packet[:2], forward.question.lower()

        def is_answer(heard: bytes) -> bool:
            return heard[:2] == head and heard[12 : 12 + len(asked)].lower() == asked

        try:
            if stream:
                heard = await self._over_stream(server, packet)
            else:
                heard = await self._host.converse(server, self._port, packet, is_answer, timeout=_PATIENCE)
            return read_reply(heard, forward.question) if is_answer(heard) else None
        except (OSError, TimeoutError, wire.Malformed, asyncio.IncompleteReadError):
            return None

    async def _over_stream(self, server: str, packet: bytes) -> bytes:
        async with self._clock.timeout(_PATIENCE):
            reader, writer = await self._host.connect(server, self._port)
            try:
                writer.write(_LENGTH.pack(len(packet)) + packet)
                (length,) = _LENGTH.unpack(await reader.readexactly(2))
                return await reader.readexactly(length)
            finally:
                writer.close()


def _size(key: _Key, reply: Reply | None) -> int:
    """Return how many bytes it takes to remember a reply, about."""
    if reply is None:
        return len(key[0]) + _OVERHEAD
    return len(key[0]) + len(reply.packet) * 2 + (len(reply.ttls) + len(reply.records)) * _OF_RECORD + _OVERHEAD


def _key(forward: Forward, *, stream: bool) -> _Key:
    query = forward.query
    return forward.question.lower(), query.dnssec, bool(query.flags & wire.CD), stream
