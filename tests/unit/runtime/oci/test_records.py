"""Checkpoints of containers: the newest whole form counts, whatever the one after it came to."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from podling.runtime.oci import records
from podling.runtime.protocol import SandboxConfig


def record(uid: str = "one") -> records.SandboxRecord:
    config = SandboxConfig(uid, "default", "web", 0, "web", Path("/logs"), "/kubepods")
    return records.SandboxRecord("id", config, 1.0, "boot")


def test_the_newest_form_is_read(tmp_path):
    """Each save is a new form of the same record, and only the last one is what is known."""
    path, known = tmp_path / "sandbox-0.json", record()
    for stopped in (None, 5.0, 6.0):
        known.stopped = stopped
        records.save(path, known, durable=stopped is None)
    assert records.load_sandbox(path).stopped == 6.0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_form_half_written_when_podling_was_killed_does_not_count(tmp_path):
    """The form before it stands, and the next one is read again."""
    path, known = tmp_path / "sandbox-0.json", record()
    records.save(path, known)
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole[:cut])
        assert records.load_sandbox(path).stopped is None
    known.stopped = 7.0
    records.save(path, known)
    assert records.load_sandbox(path).stopped == 7.0


def test_a_record_of_which_nothing_whole_was_written_is_unreadable(tmp_path):
    """Whoever reads it hears so, rather than of half a record."""
    path = tmp_path / "sandbox-0.json"
    records.save(path, record())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(msgspec.DecodeError):
        records.load_sandbox(path)


def test_a_file_that_was_written_in_one_piece_is_read(tmp_path):
    """A record without line ends, as once they were written, is one whole form."""
    path = tmp_path / "sandbox-0.json"
    records.save(path, record())
    path.write_bytes(path.read_bytes().strip())
    assert records.load_sandbox(path).id == record().id


def test_the_file_does_not_grow_for_ever(tmp_path):
    """Forms that count no more are dropped once they are many."""
    path, known = tmp_path / "sandbox-0.json", record("u" * 200)
    for number in range(1000):
        known.stopped = float(number)
        records.save(path, known)
    assert path.stat().st_size < 70_000
    assert records.load_sandbox(path).stopped == 999.0


def test_a_record_of_a_later_version_is_refused(tmp_path):
    """What a later Podling wrote is not guessed at."""
    path, known = tmp_path / "sandbox-0.json", record()
    known.version = records.VERSION + 1
    records.save(path, known)
    with pytest.raises(records.RecordTooNew):
        records.load_sandbox(path)
