"""The store: a revisioned log of keys with watch, in memory or in an SQLite file.

Only the API server and the composition root know this room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.store.protocol import Change, Compacted, FutureRevision, Mismatch, Page, Row, Store, Unwritable, Wish
from podling.store.recent import History

if TYPE_CHECKING:
    from pathlib import Path

    from podling.aio.clock import Clock

__all__ = [
    "Change",
    "Compacted",
    "FutureRevision",
    "History",
    "Mismatch",
    "Page",
    "Row",
    "Store",
    "Unwritable",
    "Wish",
    "open_store",
]


def open_store(spec: str, directory: Path, clock: Clock, *, history: History | None = None) -> Store:
    """Return the store that `--store` names: `sqlite` (in `directory`) or `memory`.

    Reads the newest rows before it returns. `ValueError` for a name that is none, `disk.WrongLayout` for a file that
    cannot be read.
    """
    if spec == "memory":
        from podling.store.memory import MemoryStore

        return MemoryStore(clock, history=history)
    if spec == "sqlite":
        from podling.store.sqlite import SqliteStore

        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteStore(directory / "store.db", clock, history=history)
    raise ValueError(f"--store {spec}: not a store; choose sqlite or memory")
