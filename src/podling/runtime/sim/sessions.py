"""Exec and attach on simulated containers: streams whose content a script gives.

Owns the two sessions. An exec gives its output at once and ends after its time; an attach is silent until the container
ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from podling.aio.clock import Clock
    from podling.runtime.sim.script import Exec


class ExecSession:
    """A command whose end is known from the beginning."""

    def __init__(self, clock: Clock, answer: Exec, *, with_stdout: bool) -> None:
        self._clock = clock
        self._answer = answer
        self._stdout = answer.output.encode() if with_stdout else b""

    async def read_stdout(self) -> bytes:
        data, self._stdout = self._stdout, b""
        if not data:
            await self._clock.sleep(self._answer.lasts)
        return data

    async def read_stderr(self) -> bytes:
        await self._clock.sleep(self._answer.lasts)
        return b""

    async def write_stdin(self, data: bytes) -> None:
        """Take what is written; the script does not read it."""

    async def close_stdin(self) -> None: ...

    async def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int:
        await self._clock.sleep(self._answer.lasts)
        return self._answer.exit_code

    async def close(self) -> None: ...


class AttachSession:
    """A look at a container that says nothing."""

    def __init__(self, death: asyncio.Event, exit_code: Callable[[], int]) -> None:
        self._death = death
        self._exit_code = exit_code

    async def read_stdout(self) -> bytes:
        await self._death.wait()
        return b""

    async def read_stderr(self) -> bytes:
        await self._death.wait()
        return b""

    async def write_stdin(self, data: bytes) -> None:
        """Take what is written; the script does not read it."""

    async def close_stdin(self) -> None: ...

    async def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int:
        await self._death.wait()
        return self._exit_code()

    async def close(self) -> None: ...
