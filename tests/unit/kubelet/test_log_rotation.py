"""Old logs: moved away when they are large, packed, and forgotten."""

from __future__ import annotations

import gzip
from types import SimpleNamespace

from podling.kubelet.logrotation import LogRotation
from podling.runtime.protocol import ContainerState, RuntimeFailure


class _Runtime:
    """A runtime of one running container, whose log a test writes."""

    def __init__(self, path, fails=False):
        self._path = path
        self._fails = fails

    async def list_containers(self):
        return [SimpleNamespace(id="c", state=ContainerState.RUNNING, log_path=str(self._path))]

    async def reopen_log(self, _container):
        if self._fails:
            raise RuntimeFailure("Unavailable", "conmon is gone")
        self._path.touch()


def test_large_logs_are_rotated_and_bounded(run, clock, tmp_path):
    """Of a container that never stops writing, the newest logs alone remain: one in use, one old, the rest packed."""
    path = tmp_path / "0.log"

    async def main():
        rotation = LogRotation(_Runtime(path), clock, size=100, files=4)
        for turn in range(8):
            path.write_text(f"{turn:03}" * 40)
            await rotation.rotate()
            assert path.stat().st_size == 0
            await clock.advance(10)
        path.write_text("small")
        await rotation.rotate()

    run(main())
    names = sorted(file.name for file in tmp_path.iterdir())
    assert len(names) == 4
    assert names[0] == "0.log"
    assert [name.endswith(".gz") for name in names] == [False, True, True, False]
    assert gzip.decompress((tmp_path / names[2]).read_bytes()) == b"006" * 40
    assert (tmp_path / names[3]).read_text() == "007" * 40
    assert path.read_text() == "small"


def test_a_log_whose_writer_cannot_be_told_keeps_its_name(run, clock, tmp_path):
    """A log that could not be opened anew is given back its name, so that nothing is lost."""
    path = tmp_path / "0.log"
    path.write_text("x" * 200)
    run(LogRotation(_Runtime(path, fails=True), clock, size=100).rotate())
    assert [file.name for file in tmp_path.iterdir()] == ["0.log"]
