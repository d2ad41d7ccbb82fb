"""What only a store on disk can promise: group commit, restarts, and being killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from podling.aio.clock import SystemClock, VirtualClock
from podling.store import Compacted, History, Unwritable
from podling.store.disk import WrongLayout
from podling.store.sqlite import SqliteStore
from tests.contract.store import store_scenarios as scenarios

if TYPE_CHECKING:
    from pathlib import Path


def opened(path: Path, **how: object) -> SqliteStore:
    return SqliteStore(path / "store.db", SystemClock(), **how)  # type: ignore[arg-type]


def test_writers_that_wait_share_a_commit(tmp_path: Path) -> None:
    """Eight concurrent writers need far fewer commits than writes; one writer alone waits for no timer."""

    async def main() -> None:
        store = opened(tmp_path)

        async def write(writer: int) -> None:
            for number in range(50):
                await store.put(f"/{writer}/{number}", b"", expected=0)

        await asyncio.gather(*(write(writer) for writer in range(8)))
        assert store.revision == 401
        assert store.commits <= 60
        await store.close()

    asyncio.run(main())


def test_a_group_is_decided_in_order(tmp_path: Path) -> None:
    """Within one transaction each write sees those before it: create, refuse, update, delete, create again."""

    async def main() -> None:
        store = opened(tmp_path)
        outcomes = await asyncio.gather(
            store.put("/a", b"1", expected=0),
            store.put("/a", b"2", expected=0),
            store.put("/a", b"3", expected=2),
            store.delete("/a", expected=3),
            store.delete("/a", expected=None),
            store.put("/a", b"4", expected=0),
            return_exceptions=True,
        )
        assert store.commits == 1
        assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [2, 3, 4, 5]
        assert [isinstance(outcome, int) for outcome in outcomes] == [True, False, True, True, False, True]
        await store.close()

    asyncio.run(main())


def test_restart_keeps_revision_values_and_history(tmp_path: Path) -> None:
    """Closed and opened again, a store goes on where it was: counter, rows, old listings, watches, compaction."""

    async def main() -> None:
        store = opened(tmp_path)
        for number in range(1, 1500):
            await store.put(f"/registry/pods/{number % 50}", b"%d" % number, expected=None)
        await store.delete("/registry/pods/7", expected=None)
        newest = store.revision
        whole = await scenarios.collect(store, "/registry/", 1, newest)
        then = await store.list("/registry/", revision=700)
        now = await store.list("/registry/")
        await store.compact(300)
        await store.close()

        store = opened(tmp_path)
        assert (store.revision, store.compacted) == (newest, 300)
        assert await store.list("/registry/") == now
        assert await store.list("/registry/", revision=700) == then
        assert await scenarios.collect(store, "/registry/", 300, newest) == whole[299:]
        with pytest.raises(Compacted):
            await store.list("/registry/", revision=299)
        assert await store.put("/registry/pods/7", b"", expected=0) == newest + 1
        await store.close()

    asyncio.run(main())


def test_history_behind_memory_is_read_from_disk(tmp_path: Path) -> None:
    """What lies further back than the window in memory is listed, got and watched all the same, under writes."""

    async def main() -> None:
        store = opened(tmp_path)
        past = {}
        for number in range(3000):
            key = f"/registry/pods/{number % 40:02}"
            if number % 7 == 6:
                await asyncio.gather(store.delete(key, expected=None), return_exceptions=True)
            else:
                await store.put(key, b"%d" % number, expected=None)
            if number % 300 == 0:
                past[store.revision] = (await store.list("/registry/pods/", limit=30), key, await store.get(key))
        assert min(past) < store.revision - 2000
        end = store.revision + 200
        watch = asyncio.create_task(scenarios.collect(store, "/registry/pods/", 1, end))
        for number in range(200):
            await store.put(f"/registry/pods/x{number}", b"", expected=0)
        for revision, (page, key, row) in past.items():
            assert await store.list("/registry/pods/", limit=30, revision=revision) == page
            assert await store.get(key, revision) == row
        assert [change.revision for change in await watch] == list(range(2, end + 1))
        await store.close()

    asyncio.run(main())


def test_compaction_during_a_watch_of_history_is_told(tmp_path: Path) -> None:
    """A watch that is still reading history when that history is forgotten ends with `Compacted`, without a gap."""

    async def main() -> None:
        store = opened(tmp_path)
        await asyncio.gather(*(store.put(f"/{number}", b"", expected=0) for number in range(3000)))
        watch = store.watch("/", 1)
        seen = [change.revision for change in await anext(watch)]
        await store.compact(2500)
        with pytest.raises(Compacted):
            while True:
                seen += [change.revision for change in await anext(watch)]
        assert seen == list(range(2, seen[-1] + 1))
        await store.close()

    asyncio.run(main())


def test_compaction_gives_rows_back(tmp_path: Path) -> None:
    """After compaction the file holds one row for each key, and the newest revision."""

    async def main() -> None:
        store = opened(tmp_path)
        await asyncio.gather(*(store.put(f"/{number % 20}", b"", expected=None) for number in range(2000)))
        await store.delete("/3", expected=None)
        await store.delete("/4", expected=None)
        await store.compact(store.revision)
        await store.put("/5", b"", expected=None)
        await store.compact(store.revision)
        await store.close()

    asyncio.run(main())
    with sqlite3.connect(tmp_path / "store.db") as database:
        count = database.execute("SELECT count(*) FROM log").fetchone()[0]
    database.close()
    assert 18 <= count <= 19


def test_virtual_time_waits_for_the_disk() -> None:
    """A write in flight counts as external work: virtual time does not run past it."""
    import tempfile
    from pathlib import Path

    async def main(directory: str) -> None:
        clock = VirtualClock()
        store = SqliteStore(Path(directory) / "store.db", clock)
        done: list[float] = []

        async def write() -> None:
            await store.put("/a", b"", expected=0)
            done.append(clock.monotonic())

        task = asyncio.create_task(write())
        await clock.advance(10)
        assert done == [0.0]
        await task
        await store.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(directory))


def test_newer_layout_is_refused(tmp_path: Path) -> None:
    """A file of a later version, or of another program, is refused in words, and not touched."""
    path = tmp_path / "store.db"
    asyncio.run(opened(tmp_path).close())
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    before = path.read_bytes()
    with pytest.raises(WrongLayout, match="layout 2, and this version reads up to 1"):
        opened(tmp_path)
    assert path.read_bytes() == before

    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    with pytest.raises(WrongLayout, match="another program"):
        SqliteStore(tmp_path / "other.db", SystemClock())

    (tmp_path / "text.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(WrongLayout, match="move it away"):
        SqliteStore(tmp_path / "text.db", SystemClock())


def test_refused_disk_loses_nothing(tmp_path: Path) -> None:
    """A full disk refuses the whole group with `Unwritable`; what stood stands, and later writes go on."""

    async def main() -> None:
        store = opened(tmp_path)
        await store.put("/a", b"1", expected=0)
        pages = store._disk._db.execute("PRAGMA page_count").fetchone()[0]
        store._disk._db.execute(f"PRAGMA max_page_count = {pages}")
        outcomes = await asyncio.gather(
            *(store.put(f"/{number}", b"x" * 9000, expected=0) for number in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Unwritable] * 3
        assert store.revision == 2
        store._disk._db.execute("PRAGMA max_page_count = 100000")
        assert await store.put("/0", b"x" * 9000, expected=0) == 3
        await store.close()
        store = opened(tmp_path)
        assert [row.key for row in (await store.list("/")).rows] == ["/0", "/a"]
        await store.close()

    asyncio.run(main())


def test_write_ahead_log_stays_small(tmp_path: Path) -> None:
    """Checkpoints keep the write-ahead log bounded while writes go on."""

    async def main() -> None:
        store = opened(tmp_path)
        for number in range(60):
            await asyncio.gather(*(store.put(f"/{number}/{n}", b"x" * 20_000, expected=0) for n in range(20)))
        assert (tmp_path / "store.db").stat().st_size > 20 << 20
        assert (tmp_path / "store.db-wal").stat().st_size < 40_000_000
        await store.close()
        assert not (tmp_path / "store.db-wal").exists()

    asyncio.run(main())


def test_torn_log_loses_only_its_tail(tmp_path: Path) -> None:
    """A write-ahead log that ends in the middle of a record opens as it was before that record, and takes writes."""

    async def main() -> None:
        store = opened(tmp_path)
        for number in range(20):
            await store.put(f"/{number:02}", b"x" * 3000, expected=0)
        torn = tmp_path / "torn"
        torn.mkdir()
        (torn / "store.db").write_bytes((tmp_path / "store.db").read_bytes())
        log = (tmp_path / "store.db-wal").read_bytes()
        (torn / "store.db-wal").write_bytes(log[:-100])
        await store.close()

        store = opened(torn)
        assert store.revision == 20
        assert [row.key for row in (await store.list("/")).rows] == [f"/{number:02}" for number in range(19)]
        assert await store.put("/19", b"again", expected=0) == 21
        await store.close()

    asyncio.run(main())


def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    """Writes asked for before `close` are on disk and answered; later ones are refused."""

    async def main() -> None:
        store = opened(tmp_path)
        writes = [asyncio.create_task(store.put(f"/{number}", b"", expected=0)) for number in range(600)]
        await asyncio.sleep(0)
        await asyncio.gather(store.close(), store.close())
        assert sorted(await asyncio.gather(*writes)) == list(range(2, 602))
        with pytest.raises(RuntimeError, match="closed"):
            await store.put("/late", b"", expected=0)
        store = opened(tmp_path)
        assert len((await store.list("/")).rows) == 600
        await store.close()

    asyncio.run(main())


def test_cancelled_writer_harms_nobody(tmp_path: Path) -> None:
    """A writer that is cancelled while its group is on its way leaves the others of the group answered."""

    async def main() -> None:
        store = opened(tmp_path)
        writes = [asyncio.create_task(store.put(f"/{number}", b"", expected=0)) for number in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writes[1].cancel()
        assert await asyncio.gather(*writes, return_exceptions=True) != []
        assert [writes[0].result(), writes[1].cancelled(), writes[2].result()] == [2, True, 4]
        await store.close()

    asyncio.run(main())


def test_busy_loop_lets_the_disk_speak(tmp_path: Path) -> None:
    """An open store asks the interpreter to switch threads soon: a loop that never rests must not starve writes."""
    asyncio.run(opened(tmp_path).close())
    assert sys.getswitchinterval() <= 0.0001


_CHILD = """
import asyncio, sys
from pathlib import Path
from podling.aio.clock import SystemClock
from podling.store import History, Wish, open_store

async def main():
    store = open_store("sqlite", Path(sys.argv[1]), SystemClock(), history=History(revisions=1000))
    async def write(writer):
        number = 0
        while True:
            key = f"/registry/{sys.argv[2]}/{writer}/{number}"
            pair = [Wish(key, key.encode() * 40, 0), Wish(f"/count/{sys.argv[2]}/{writer}", str(number).encode(), None)]
            revision = (await store.write(pair))[0]
            sys.stdout.write(f"{key} {revision}\\n")
            sys.stdout.flush()
            number += 1
    await asyncio.gather(*(write(writer) for writer in range(8)))

asyncio.run(main())
"""


def test_killed_store_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    """`kill -9` in the middle of writing: every acknowledged key is there at its revision, and none beside the log.

    What was written together with a key, a count of them here, is there exactly as far as the keys are.
    """
    acknowledged: dict[str, int] = {}
    for life in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path), str(life)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(700)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        for line in lines:
            if line.endswith("\n"):
                key, revision = line.split()
                acknowledged[key] = int(revision)

    async def main() -> None:
        store = opened(tmp_path, history=History(revisions=1000))
        rows = {row.key: row for row in (await store.list("/registry/")).rows}
        assert len(acknowledged) >= 2100
        for key, revision in acknowledged.items():
            assert rows[key].revision == revision
            assert rows[key].value == key.encode() * 40
        counts = (await store.list("/count/")).rows
        assert store.revision == max(row.revision for row in counts)
        assert len({row.revision for row in rows.values()}) == len(rows)
        assert len(counts) == 24
        for count in counts:
            prefix = count.key.replace("/count/", "/registry/") + "/"
            assert len([key for key in rows if key.startswith(prefix)]) == int(count.value) + 1
        await store.close()

    asyncio.run(main())
