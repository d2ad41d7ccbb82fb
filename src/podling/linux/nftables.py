"""Rules, through one `nft -i` that stays: a line is a transaction, acknowledged before the next is sent.

Owns that process. Invariants: a transaction that is refused changes nothing and raises `RuleRefused`; if the process
dies it is started again with the next line, and the line under way is tried once more (every line given here must bear
repetition, or say so by `once`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from podling.linux.pipes import PipeReader, PipeWriter

if TYPE_CHECKING:
    from podling.linux.spawn import Child, Launcher


class RuleRefused(Exception):  # an outcome that callers tell the user about
    """nft refused a transaction; its own words say why."""


class Nftables:
    """The rules of one network namespace: that in which `launcher` starts processes."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._lock = asyncio.Lock()
        self._child: Child | None = None
        self._input: PipeWriter | None = None
        self._errors: PipeReader | None = None
        self._number = 0

    async def apply(self, transaction: str, *, once: bool = False) -> None:
        """Apply one line (commands parted by `;`) as a whole or not at all."""
        line = " ".join(transaction.split())
        async with self._lock:
            try:
                complaint = await self._ask(line)
            except (BrokenPipeError, EOFError):
                await self._stop()
                if once:
                    raise RuleRefused(f"nft ended while it was told: {line}") from None
                complaint = await self._ask(line)
        if complaint:
            raise RuleRefused(complaint)

    async def _ask(self, line: str) -> str:
        if self._child is None:
            await self._start()
        if self._input is None or self._errors is None:
            raise BrokenPipeError
        # nft says nothing about success, and buffers what it prints; its complaint about a word that it cannot know
        # comes at once and in order, and so acknowledges what stood before it.
        self._number += 1
        word = f"acknowledge{self._number}"
        await self._input.write(f"{line}\n{word}\n".encode())
        seen = b""
        end = f"\n{word}\n".encode()
        while end not in seen:
            data = await self._errors.read()
            if not data:
                raise EOFError
            seen += data
        # After the word comes a line of ^ marks, which may still be under way; it is skipped on the next reading.
        before = seen[: seen.index(end)].decode(errors="replace")
        complaint, _, _ = before.rpartition("Error: syntax error, unexpected")
        return "\n".join(text for text in complaint.splitlines() if text.strip(" ^~"))

    async def _start(self) -> None:
        in_read, in_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        try:
            self._child = await self._launcher.start(["nft", "-i"], stdin=in_read, stderr=err_write)
        except BaseException:
            os.close(in_write)
            os.close(err_read)
            raise
        finally:
            os.close(in_read)
            os.close(err_write)
        self._input, self._errors = PipeWriter(in_write), PipeReader(err_read)

    async def _stop(self) -> None:
        child, self._child = self._child, None
        if self._input is not None:
            self._input.close()
        if self._errors is not None:
            self._errors.close()
        self._input = self._errors = None
        if child is not None:
            await child.kill()

    async def close(self) -> None:
        """End the process; the rules stay."""
        async with self._lock:
            await self._stop()


async def delete_table(launcher: Launcher, family: str, name: str) -> bool:
    """Delete a table; say whether it was there."""
    with contextlib.suppress(FileNotFoundError):
        return (await launcher.run(["nft", "delete", "table", family, name])).code == 0
    return False
