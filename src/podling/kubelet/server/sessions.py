"""A client joined to a command: bytes both ways until one of them ends.

Owns who waits for whom. stdin may end before the output does; the output is passed on to its last byte before the exit
code is told; a client that goes away ends an exec (the runtime kills it) and leaves an attached container alone.
Invariant: nothing is held but the piece under way, so that a slow side slows the other.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from podling.api.errors import internal
from podling.kubelet.server.remotecommand import STDERR, STDOUT, Outcome, TerminalSizes
from podling.kubelet.server.spdy import SpdyError
from podling.kubelet.server.wire import linger
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from podling.aio.clock import Clock
    from podling.kubelet.server.remotecommand import Remote, Streams
    from podling.runtime.protocol import ByteStream, Session

log = logging.getLogger("podling.kubelet.server")

CLOSING_PATIENCE = 10.0
"""Seconds that a client has for closing the connection after it was told the end."""

PING_EVERY = 15.0

SUCCESS = Outcome(msgspec.json.encode({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))


def exited(code: int, command: Sequence[str]) -> Outcome:
    """Return what a client is told of an exit code."""
    if not code:
        return SUCCESS
    message = (
        f"command terminated with non-zero exit code: error executing command [{' '.join(command)}], exit code {code}"
    )
    tree = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
    return Outcome(msgspec.json.encode(tree), message)


def failed(doing: str, why: str) -> Outcome:
    """Return what a client is told when a command could not be run at all."""
    error = internal(f"error {doing}: {why}")
    return Outcome(msgspec.json.encode(error.to_tree()), error.message)


async def serve(
    remote: Remote,
    start: Callable[[], Awaitable[Session]],
    streams: Streams,
    clock: Clock,
    command: Sequence[str] | None,
) -> None:
    """Start a session once the client is ready, and carry it to its end; without a `command` it is an attach."""
    pinging = asyncio.create_task(_ping(remote, clock), name="remote command pings")
    try:
        await race(_work(remote, start, streams, command), _read(remote), clock, pinging)
    finally:
        await _end(pinging)


async def race(
    work: Coroutine[object, object, None],
    reading: Coroutine[object, object, None],
    clock: Clock,
    *others: asyncio.Task[None],
) -> None:
    """Do the work unless the client goes first, as the end of `reading` or of any other tells; then let it close."""
    worker, reader = asyncio.create_task(work, name="stream"), asyncio.create_task(reading, name="stream reader")
    try:
        await asyncio.wait({worker, reader, *others}, return_when=asyncio.FIRST_COMPLETED)
        if worker.done():
            worker.result()
            await linger(reader, clock, CLOSING_PATIENCE)
    finally:
        await _end(worker, reader)


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _ping(remote: Remote, clock: Clock) -> None:
    """Return once the client has gone: while a command takes no input nothing is read, and only a write can tell."""
    try:
        while True:
            await clock.sleep(PING_EVERY)
            await remote.ping()
    except ConnectionError as error:
        log.debug("a client has gone: %s", error)


async def _read(remote: Remote) -> None:
    try:
        await remote.run()
    except (ConnectionError, SpdyError) as error:
        log.debug("a client was cut off: %s", error)


async def _work(
    remote: Remote, start: Callable[[], Awaitable[Session]], streams: Streams, command: Sequence[str] | None
) -> None:
    doing = "attaching to container" if command is None else "executing command in container"
    try:
        try:
            await remote.ready()
        except TimeoutError:
            log.debug("a client did not open its streams")
            return
        try:
            session = await start()
        except RuntimeFailure as failure:
            await remote.finish(failed(doing, failure.message))
            return
        try:
            code = await _carry(session, remote, streams)
        except RuntimeFailure as failure:
            await remote.finish(failed(doing, failure.message))
            return
        finally:
            await session.close()
        await remote.finish(SUCCESS if command is None else exited(code, command))
    except ConnectionError as error:
        log.debug("a client has gone: %s", error)


async def _carry(session: Session, remote: Remote, streams: Streams) -> int:
    outputs = [
        asyncio.create_task(_copy(session.read_stdout, remote, STDOUT if streams.stdout else None)),
        asyncio.create_task(_copy(session.read_stderr, remote, STDERR if streams.stderr else None)),
    ]
    inputs = [asyncio.create_task(_resize(session, remote))] if streams.tty else []
    if streams.stdin:
        inputs.append(asyncio.create_task(_feed(session, remote)))
    try:
        code = await session.wait()
        await asyncio.gather(*outputs)
        return code
    finally:
        await _end(*outputs, *inputs)


async def _copy(read: Callable[[], Awaitable[bytes]], remote: Remote, channel: int | None) -> None:
    """Pass output on, or throw it away where nobody asked for it: a full pipe would stop the command."""
    while data := await read():
        if channel is not None:
            await remote.write(channel, data)


async def _feed(session: Session, remote: Remote) -> None:
    wanted = True
    while data := await remote.read_stdin():
        if wanted:
            try:
                await session.write_stdin(data)
            except (ConnectionError, OSError):
                # The command reads no more; what still comes is taken, or the connection would stand still.
                wanted = False
    if wanted:
        await session.close_stdin()


async def _resize(session: Session, remote: Remote) -> None:
    sizes = TerminalSizes()
    while data := await remote.read_resize():
        for columns, rows in sizes.receive(data):
            await session.resize(columns, rows)


async def join(
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    close_write: Callable[[], Awaitable[None]],
    target: ByteStream,
) -> None:
    """Carry one forwarded connection until the target has said everything.

    The client may close its half before that. Once the target has closed its own, what the client still sends is
    nobody's, as with upstream.
    """

    async def inward() -> None:
        try:
            while data := await read():
                await target.write(data)
            await target.close_write()
        except (ConnectionError, OSError):
            pass

    sending = asyncio.create_task(inward(), name="port-forward")
    try:
        while data := await target.read():
            await write(data)
        await close_write()
    finally:
        await _end(sending)
        await target.close()
