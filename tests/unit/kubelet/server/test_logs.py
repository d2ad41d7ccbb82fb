"""Logs in the CRI's format, turned into what kubectl prints."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from podling.api.types.core_v1 import Pod
from podling.kubelet.server.logs import LogOptions, LogText, _nanoseconds, tail_offset
from podling.kubelet.server.lookup import Refusal, logged_container

_LOG = (
    b"2026-01-01T00:00:00Z stdout F first\n"
    b"2026-01-01T00:00:01.5+02:00 stderr P half \n"
    b"2026-01-01T00:00:02.123456789Z stderr F line\n"
    b"nonsense\n"
    b"2026-01-01T00:00:03Z stdout F \n"
    b"2026-01-01T00:00:04Z stdout F:x last\n"
)


def _text(**options: object) -> bytes:
    return LogText(LogOptions(**options)).render(_LOG.split(b"\n")[:-1])  # type: ignore[arg-type]


def test_records_become_lines() -> None:
    """Partial records are joined, empty lines stay, and what is no record is left out."""
    assert _text() == b"first\nhalf line\n\nlast\n"


def test_timestamps_stand_once_per_line() -> None:
    """Each line begins with its time, nine digits of a second, in the zone in which it was written."""
    assert _text(timestamps=True).splitlines() == [
        b"2026-01-01T00:00:00.000000000Z first",
        b"2026-01-01T00:00:01.500000000+02:00 half line",
        b"2026-01-01T00:00:03.000000000Z ",
        b"2026-01-01T00:00:04.000000000Z last",
    ]


def test_what_is_not_asked_for_is_left_out() -> None:
    """A stream, an instant and a number of bytes each cut the answer."""
    assert _text(stream="Stderr") == b"half line\n"
    assert _text(since=1767225603.0) == b"\nlast\n"
    assert _text(limit=8) == b"first\nha"


@pytest.mark.parametrize(("lines", "expected"), [(0, b""), (1, b"c\n"), (2, b"bb\nc\n"), (3, None), (9, None)])
def test_the_tail_is_found_from_the_end(lines: int, expected: bytes | None) -> None:
    """However long the lines are, the offset is where the last records begin."""
    content = b"a" * 100_000 + b"\nbb\nc\n"
    assert content[tail_offset(io.BytesIO(content), lines) :] == (content if expected is None else expected)


def test_a_record_still_being_written_counts(tmp_path: Path) -> None:
    """The unfinished last record is one of the tail's."""
    content = b"one\ntwo\nthr"
    assert content[tail_offset(io.BytesIO(content), 2) :] == b"two\nthr"


def _pod(state: dict[str, object], last: dict[str, object] | None = None) -> Pod:
    from podling.api import codec

    status = {"name": "main", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    if last is not None:
        status["lastState"] = last
    if state.get("running") is not None:
        status["containerID"] = "test://now"
    tree = {
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"containerStatuses": [status]},
    }
    return codec.from_tree(Pod, tree)


_DEAD = {"terminated": {"exitCode": 1, "containerID": "test://before"}}


@pytest.mark.parametrize(
    ("state", "last", "previous", "expected"),
    [
        ({"running": {}}, None, False, "now"),
        ({"running": {}}, _DEAD, True, "before"),
        (_DEAD, None, False, "before"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, _DEAD, False, "before"),
        ({"running": {}}, None, True, 'previous terminated container "main" in pod "web" not found'),
        ({"waiting": {"reason": "ContainerCreating"}}, None, False, "is waiting to start: ContainerCreating"),
        (
            {"waiting": {"reason": "ImagePullBackOff"}},
            None,
            False,
            "is waiting to start: trying and failing to pull image",
        ),
        ({"waiting": {"reason": "ErrImagePull"}}, None, False, "is waiting to start: image can't be pulled"),
        ({}, None, False, "is waiting to start - no logs yet"),
    ],
)
def test_which_container_a_log_is_of(
    state: dict[str, object], last: dict[str, object] | None, previous: bool, expected: str
) -> None:
    """The running one, else the last that ended; a reason in upstream's words where there is none."""
    try:
        assert logged_container(_pod(state, last), "main", previous=previous) == expected
    except Refusal as refusal:
        assert expected in refusal.message
        assert refusal.code == 400


def test_timestamps_without_an_offset_end_in_z() -> None:
    """conmon writes `+00:00`; clients are shown what upstream shows."""
    assert _nanoseconds(b"2026-11-23T17:25:22.4+00:00") == b"2026-11-23T17:25:22.400000000Z"
    assert _nanoseconds(b"2026-11-23T17:25:22+02:00") == b"2026-11-23T17:25:22.000000000+02:00"
