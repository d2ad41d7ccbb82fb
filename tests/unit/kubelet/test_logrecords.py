"""What is read from a line of a container's log, and what of the last ones becomes a termination message."""

from __future__ import annotations

from pathlib import Path

import pytest

from podling.kubelet.logrecords import read_record
from podling.kubelet.observation import TERMINATION_POLICY, termination_message
from podling.runtime.protocol import Container, ContainerId, ImageId, SandboxId

TIME = b"2026-11-23T16:00:00.000000001Z"


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (TIME + b" stdout F hello", b"hello\n"),
        (TIME + b" stderr P hel", b"hel"),
        (TIME + b" stdout F:x two  spaces ", b"two  spaces \n"),
        (TIME + b" stdout F ", b"\n"),
        (TIME + b" stdout F", b"\n"),
        (TIME + b" elsewhere F hello", None),
        (b"no record", None),
        (b"", None),
    ],
)
def test_a_record_of_a_log(line: bytes, written: bytes | None) -> None:
    """A whole line gets its end back, a part does not; what is no record is none."""
    record = read_record(line)
    assert (record.written if record is not None else None) == written


def failed(log: Path) -> Container:
    return Container(
        ContainerId("c"),
        SandboxId("s"),
        "web",
        0,
        ImageId("i"),
        "i",
        0.0,
        1.0,
        2.0,
        1,
        log_path=str(log),
        annotations={TERMINATION_POLICY: "FallbackToLogsOnError"},
    )


def test_the_last_words_of_a_container_that_failed(tmp_path: Path) -> None:
    """The last 80 lines of both streams, and of these the last 2048 bytes."""
    log = tmp_path / "0.log"
    log.write_bytes(b"".join(TIME + b" %s F %d\n" % ((b"stdout", b"stderr")[n % 2], n) for n in range(100)))
    assert termination_message(failed(log)).split() == [str(n) for n in range(20, 100)]
    log.write_bytes(TIME + b" stdout P " + b"a" * 3000 + b"\n" + TIME + b" stdout F end\n")
    assert termination_message(failed(log)) == "a" * 2044 + "end\n"
