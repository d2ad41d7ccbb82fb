from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from podling.aio.clock import SystemClock
from podling.store import open_store

if TYPE_CHECKING:
    from pathlib import Path


def test_unknown_store_is_refused_in_words(tmp_path: Path) -> None:
    """A name that is no store says which there are."""
    with pytest.raises(ValueError, match="--store redis: not a store; choose sqlite or memory"):
        open_store("redis", tmp_path, SystemClock())


def test_directory_is_made_for_its_owner(tmp_path: Path) -> None:
    """The directory is created, readable by its owner alone, since Secrets stand in it."""
    store = open_store("sqlite", tmp_path / "data" / "store", SystemClock())
    asyncio.run(store.close())
    assert (tmp_path / "data" / "store").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "store" / "store.db").exists()


def test_memory_needs_no_database() -> None:
    """Whoever runs on memory imports no SQLite, and importing the room imports neither it nor asyncio."""
    code = (
        "import sys, pathlib, podling.store; assert 'asyncio' not in sys.modules;"
        "from podling.aio.clock import SystemClock;"
        "podling.store.open_store('memory', pathlib.Path('.'), SystemClock());"
        "assert 'sqlite3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "src"})
