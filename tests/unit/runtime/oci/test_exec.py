"""What an exec leaves in the run folder while it starts."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from podling.aio.clock import SystemClock
from podling.runtime.oci.exec import Exec


class Seen(Exception):
    """The program is about to be called."""


@pytest.mark.parametrize("how", ["run", "open"])
def test_its_environment_is_for_the_owner_alone(tmp_path: Path, run, how: str) -> None:
    """The description of the process holds what Secrets gave the container; other users of the machine get no look."""
    (tmp_path / "config.json").write_text(json.dumps({"process": {"args": [], "env": ["PASSWORD=x"]}}))
    scratch = tmp_path / "run" / "exec-1"
    modes = []

    class Program:
        launcher = SimpleNamespace(start=None)

        def command(self, *words: str) -> list[str]:
            assert "PASSWORD=x" in (scratch / "process.json").read_text()
            modes.append(stat.S_IMODE(scratch.stat().st_mode))
            raise Seen

    async def main() -> None:
        it = Exec(Program(), SystemClock(), "c", tmp_path, None, scratch)  # type: ignore[arg-type]
        await (it.run(["ls"], 1.0, 100) if how == "run" else it.open(["ls"], stdin=False, tty=False))

    with pytest.raises(Seen):
        run(main())
    assert modes == [0o700]
    assert not scratch.exists()
