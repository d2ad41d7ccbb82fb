"""The folders of local volumes: nothing but a volume's own folder is ever made, entered or removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podling.aio.clock import VirtualClock
from podling.kubelet.volumes.local_path import DiskFolders

NAME = "pvc-1"


@pytest.fixture
def folders(tmp_path: Path) -> DiskFolders:
    return DiskFolders(tmp_path / "volumes", VirtualClock())


def test_made_once_for_everybody(folders, run):
    """A volume is open to whatever user its containers run as, and what is in it stays when it is made again."""

    async def main():
        await folders.make(NAME)
        path = Path(folders.path(NAME))
        assert path.stat().st_mode & 0o7777 == 0o777
        (path / "kept").write_text("data")
        path.chmod(0o750)
        await folders.make(NAME)
        assert (path / "kept").read_text() == "data" and path.stat().st_mode & 0o7777 == 0o750

    run(main())


def test_one_that_was_killed_half_way_is_made_whole(folders, run, monkeypatch):
    """Between the folder and its mode there is no moment at which it stands where it is looked for."""

    class Killed(BaseException):
        pass

    def kill(self, mode):
        raise Killed

    async def main():
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Path, "chmod", kill)
            await folders.make(NAME)
        assert await folders.volumes() == []
        await folders.make(NAME)
        assert Path(folders.path(NAME)).stat().st_mode & 0o7777 == 0o777
        assert await folders.volumes() == [NAME]

    run(main())


def test_removal_follows_no_link(folders, run, tmp_path):
    """Links in a volume, and a link in its place, are removed; what they lead to stays. Neighbours stay."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("data")

    async def main():
        for name in (NAME, "pvc-2", "pvc-3"):
            await folders.make(name)
        path = Path(folders.path(NAME))
        (path / "deep" / "er").mkdir(parents=True)
        (path / "deep" / "link").symlink_to(outside)
        (path / "up").symlink_to("../pvc-2")
        (path / "file").symlink_to(outside / "precious")
        os.link(outside / "precious", path / "hard")
        Path(folders.path("pvc-2"), "theirs").write_text("data")
        await folders.remove(NAME)
        assert not path.exists()
        swapped = Path(folders.path("pvc-3"))
        swapped.rmdir()
        swapped.symlink_to(outside)
        await folders.remove("pvc-3")
        assert not swapped.is_symlink()
        await folders.remove("pvc-3")  # nothing is there: nothing happens
        assert (outside / "precious").read_text() == "data"
        assert Path(folders.path("pvc-2"), "theirs").read_text() == "data"

    run(main())


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a..b", "A", "-", "a\0", "a\n"])
def test_a_name_is_one_component(folders, run, name):
    """What could lead elsewhere is no name."""

    async def main():
        for act in (folders.make, folders.remove):
            with pytest.raises(ValueError, match="cannot be a folder's name"):
                await act(name)

    run(main())
    with pytest.raises(ValueError, match="cannot be a folder's name"):
        folders.path(name)


def test_only_what_is_empty_is_discarded(folders, run):
    """A folder that was made in vain goes; one with anything in it stays, and both are known by name."""

    async def main():
        assert await folders.volumes() == []
        await folders.make("pvc-1")
        await folders.make("pvc-2")
        Path(folders.path("pvc-2"), "data").write_text("precious")
        assert await folders.volumes() == ["pvc-1", "pvc-2"]
        for name in ("pvc-1", "pvc-2", "pvc-3"):
            await folders.discard(name)
        assert await folders.volumes() == ["pvc-2"]
        assert Path(folders.path("pvc-2"), "data").read_text() == "precious"

    run(main())
