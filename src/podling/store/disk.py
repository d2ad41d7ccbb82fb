"""The store's file: its layout and every SQL statement.

Owns the SQLite database. Everything here blocks and runs in a `Lane`; nothing here decides anything.

Layout 1. `log` holds one row per kept revision, with the revision that it replaced (`previous`, 0: the key was
created); a deletion has no value. `head` holds each key's newest revision and is kept by triggers, so that a group of
writes is one statement: one transaction, one fsync, one release of the interpreter lock. `moment` says coarsely when
revisions were made. Durability: write-ahead log, `synchronous=FULL`, so a commit is on disk before it returns;
checkpoints are called for by the store, off the way of writes.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from msgspec import Struct

from podling.store.heads import FIRST_REVISION, TOP
from podling.store.protocol import Change, Page, Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAYOUT = 1
_APPLICATION = 0x506F646C  # "Podl"

_CREATE = """
CREATE TABLE log (
  revision INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  created INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  value BLOB
);
CREATE TABLE head (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE moment (revision INTEGER PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER put AFTER INSERT ON log WHEN NEW.value IS NOT NULL
BEGIN INSERT OR REPLACE INTO head VALUES (NEW.key, NEW.revision); END;
CREATE TRIGGER deleted AFTER INSERT ON log WHEN NEW.value IS NULL
BEGIN DELETE FROM head WHERE key = NEW.key; END;
"""


# The keys at a revision: those not changed since, and what the first change since then replaced.
_THEN = """
WITH changed AS (
  SELECT key, min(revision), previous FROM log
  WHERE revision > :revision AND key >= :first AND key < :last GROUP BY key
), then_ AS (
  SELECT key, revision FROM head
  WHERE key >= :first AND key < :last AND key > :after AND revision <= :revision
  UNION ALL
  SELECT key, previous AS revision FROM changed WHERE previous > 0 AND key > :after
)
"""
_ROWS_THEN = (
    _THEN
    + """
SELECT t.key, l.value, t.revision, l.created FROM then_ t JOIN log l ON l.revision = t.revision
ORDER BY t.key LIMIT :limit
"""
)
_COUNT_THEN = f"{_THEN} SELECT count(*) FROM then_"  # noqa: S608  # constants alone


class WrongLayout(Exception):
    """The file is not one that this version reads; the message says what to do."""


class Loaded(Struct, frozen=True):
    """What a store starts from."""

    rows: Sequence[Row]
    revision: int
    compacted: int
    swept: int
    moments: Sequence[tuple[int, float]]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=10)
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


class Disk:
    """The writing connection; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = _connect(path)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise WrongLayout(
                f"the store {path} cannot be read ({error}): move it away to begin with an empty one"
            ) from error
        except WrongLayout:
            self._db.close()
            raise

    def _prepare(self) -> None:
        db = self._db
        layout = db.execute("PRAGMA user_version").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and application != _APPLICATION:
            raise WrongLayout(f"{self._path} is a database of another program: give Podling a directory of its own")
        if layout > LAYOUT:
            raise WrongLayout(
                f"the store {self._path} has layout {layout}, and this version reads up to {LAYOUT}: "
                "start the version that wrote it, or a newer one"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA journal_size_limit = 67108864")
        if not tables:
            # One transaction: killed in the middle, the file is still empty.
            db.executescript(
                f"BEGIN IMMEDIATE;{_CREATE}PRAGMA application_id={_APPLICATION};PRAGMA user_version={LAYOUT};COMMIT;"
            )

    def load(self) -> Loaded:
        """Read the newest row of every key, and where history stands."""
        db = self._db
        rows = [
            Row(*columns)
            for columns in db.execute(
                "SELECT h.key, l.value, h.revision, l.created FROM head h JOIN log l ON l.revision = h.revision"
                " ORDER BY h.key"
            )
        ]
        heads = db.execute("SELECT count(*) FROM head").fetchone()[0]
        if heads != len(rows):
            raise WrongLayout(f"the store {self._path} is damaged: {heads - len(rows)} of {heads} keys have no value")
        newest = db.execute("SELECT max(revision) FROM log").fetchone()[0]
        marks = dict(db.execute("SELECT name, revision FROM mark"))
        return Loaded(
            rows,
            newest if newest is not None else FIRST_REVISION,
            marks.get("compacted", FIRST_REVISION),
            marks.get("swept", FIRST_REVISION),
            db.execute("SELECT revision, at FROM moment ORDER BY revision").fetchall(),
        )

    def append(self, changes: Sequence[Change], moment: tuple[int, float] | None) -> None:
        """Commit a group and return once it is on disk."""
        parameters: list[object] = []
        for change in changes:
            previous = change.previous.revision if change.previous is not None else 0
            parameters += (change.revision, change.key, change.created, previous, change.value)
        statement = "INSERT INTO log VALUES (?,?,?,?,?)" + ",(?,?,?,?,?)" * (len(changes) - 1)
        if moment is None:
            self._db.execute(statement, parameters)
            return
        with self._transaction():
            self._db.execute(statement, parameters)
            self._db.execute("INSERT OR REPLACE INTO moment VALUES (?,?)", moment)

    def mark_compacted(self, revision: int) -> None:
        """Remember, before anything is deleted, up to where history is forgotten."""
        self._db.execute("INSERT OR REPLACE INTO mark VALUES ('compacted', ?)", (revision,))

    def sweep(self, after: int, upto: int) -> None:
        """Delete what the changes above `after` up to `upto` have made superfluous."""
        with self._transaction():
            self._db.execute(
                "DELETE FROM log WHERE revision IN"
                " (SELECT previous FROM log WHERE revision > ? AND revision <= ? AND previous > 0)",
                (after, upto),
            )
            self._db.execute(
                "DELETE FROM log WHERE revision > ? AND revision <= ? AND value IS NULL",
                (after, upto),
            )
            self._db.execute("DELETE FROM moment WHERE revision <= ?", (upto,))
            self._db.execute("INSERT OR REPLACE INTO mark VALUES ('swept', ?)", (upto,))

    def checkpoint(self, *, wholly: bool) -> None:
        """Empty the write-ahead log into the file, waiting for readers."""
        self._db.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if wholly else 'PASSIVE'})").fetchall()

    def close(self) -> None:
        self._db.close()

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db  # as a context manager it commits, or rolls back where an error leaves the block


class Past:
    """The reading connection: listings as of old revisions, and changes that memory no longer holds."""

    def __init__(self, path: Path) -> None:
        self._db = _connect(path)

    def listing(self, prefix: str, after: str, limit: int, revision: int) -> Page:
        """Return a part of the listing of `prefix` as it was at `revision`."""
        return self._page(prefix, prefix + TOP, after, limit, revision)

    def row(self, key: str, revision: int) -> Row | None:
        """Return `key` as it was at `revision`."""
        page = self._page(key, key + "\0", "", 1, revision)
        return page.rows[0] if page.rows else None

    def _page(self, first: str, last: str, after: str, limit: int, revision: int) -> Page:
        bounds = {"first": first, "last": last, "after": after, "revision": revision, "limit": limit or -1}
        self._db.execute("BEGIN")
        with self._db:
            rows = [Row(*columns) for columns in self._db.execute(_ROWS_THEN, bounds)]
            remaining = 0
            if limit and len(rows) == limit:
                bounds["after"] = rows[-1].key
                remaining = self._db.execute(_COUNT_THEN, bounds).fetchone()[0]
        return Page(rows, revision, remaining > 0, remaining)

    def changes(self, prefix: str, after: int, upto: int) -> tuple[list[Change], int]:
        """Return a piece of the changes above `after` up to `upto`, and the revision to which it is complete."""
        reached = min(upto, after + 500)
        found = self._db.execute(
            "SELECT l.revision, l.key, l.value, l.created, p.value, p.revision, p.created"
            " FROM log l LEFT JOIN log p ON p.revision = l.previous"
            " WHERE l.revision > ? AND l.revision <= ? AND l.key >= ? AND l.key < ? ORDER BY l.revision",
            (after, reached, prefix, prefix + TOP),
        ).fetchall()
        return [
            Change(revision, key, value, created, Row(key, *previous) if previous[1] is not None else None)
            for revision, key, value, created, *previous in found
        ], reached

    def checkpoint(self) -> bool:
        """Move what can be moved from the write-ahead log into the file; whether all of it was."""
        _busy, frames, moved = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(frames == moved)

    def close(self) -> None:
        self._db.close()
