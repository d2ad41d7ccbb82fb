"""Folders as volumes: made whole, kept as their Pod leaves them, in memory where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.api.types.core_v1 import EmptyDirVolumeSource, HostPathVolumeSource
from podling.kubelet.volumes.folders import empty_dir, host_path
from podling.linux import mounts


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "volumes" / "v"
    mounts.unmount_below(str(tmp_path))


def kind(place: Path) -> str:
    return next((point.kind for point in mounts.table() if point.target == str(place)), "")


def test_a_folder_is_made_once(place: Path) -> None:
    """What its Pod does to its mode and content stays; one that was half made when the node died is made anew."""
    half = place.with_name(f".{place.name}")
    half.mkdir(parents=True)
    (half / "rubbish").write_text("")
    empty_dir(place, EmptyDirVolumeSource(), None, None)
    assert (list(place.iterdir()), place.stat().st_mode & 0o7777, half.exists()) == ([], 0o777, False)
    place.chmod(0o700)
    (place / "file").write_text("kept")
    empty_dir(place, EmptyDirVolumeSource(), os.getgid(), None)
    assert (place.stat().st_mode & 0o7777, (place / "file").read_text()) == (0o700, "kept")


@pytest.mark.root
def test_memory_that_is_gone_is_made_anew(place: Path) -> None:
    """A folder without its mount, as after a reboot, gets one; a mounted one keeps what is in it."""
    place.mkdir(parents=True)
    memory = EmptyDirVolumeSource(medium="Memory")
    empty_dir(place, memory, 4711, 1 << 20)
    assert (kind(place), place.stat().st_mode & 0o7777, place.stat().st_gid) == ("tmpfs", 0o2777, 4711)
    assert os.statvfs(place).f_blocks * os.statvfs(place).f_frsize == 1 << 20
    (place / "file").write_text("kept")
    empty_dir(place, memory, 4711, 1 << 20)
    assert (place / "file").read_text() == "kept"
    assert sum(point.target == str(place) for point in mounts.table()) == 1


@pytest.mark.root
@pytest.mark.parametrize(("medium", "size"), [("HugePages", ""), ("HugePages-2Mi", "2M")])
def test_huge_pages_are_mounted(place: Path, medium: str, size: str) -> None:
    """Of the size that is asked for, where the kernel has any."""
    if "hugetlbfs" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no hugetlbfs")
    empty_dir(place, EmptyDirVolumeSource(medium=medium), None, None)
    (point,) = (point for point in mounts.table() if point.target == str(place))
    assert point.kind == "hugetlbfs"
    assert f"pagesize={size}" in point.options


@pytest.mark.parametrize("medium", ["Disk", "HugePages-2", "HugePages2Mi", "memory"])
def test_an_unknown_medium_is_refused(place: Path, medium: str) -> None:
    with pytest.raises(ValueError, match=f'unknown storage medium "{medium}"'):
        empty_dir(place, EmptyDirVolumeSource(medium=medium), None, None)
    assert not place.exists()


def test_an_unknown_type_of_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Folder is an invalid volume type"):
        host_path(HostPathVolumeSource(path=str(tmp_path), type="Folder"))
