"""Parts of volumes: made where they are missing, shown at a place of our own, never outside their volume."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podling.api.types.core_v1 import VolumeMount
from podling.kubelet.objects import MissingReference
from podling.kubelet.volumes.subpath import show_part, wanted_path
from podling.linux import beneath, mounts

MOUNT = VolumeMount(name="data", mount_path="/data", sub_path_expr="$(A)/$(B)")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where parts are shown; unmounted at the end."""
    yield tmp_path / "places" / "part"
    mounts.unmount_below(str(tmp_path))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "v"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def shown(volume: Path, wanted: str, place: Path) -> Path:
    return Path(show_part(MOUNT, "web", str(volume), wanted, place))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "missing value for A, B"),
        ({"A": "/tmp", "B": "y"}, "error SubPath `/tmp/y` must not be an absolute path"),
        ({"A": "..", "B": "y"}, "unable to provision SubPath `../y`: must not contain '..'"),
    ],
)
def test_expressions_that_lead_out_are_refused(values: dict[str, str], message: str) -> None:
    """In upstream's words, before anything is looked at."""
    with pytest.raises(MissingReference) as refused:
        wanted_path(MOUNT, values)
    assert str(refused.value) == message


@pytest.mark.root
def test_parts_are_made_and_shown(volume: Path, place: Path) -> None:
    """Missing folders get the volume's mode; files are parts too; links within the volume are followed."""
    assert wanted_path(MOUNT, {"A": "x", "B": "y"}) == "x/y"
    part = shown(volume, "x/y", place)
    assert part == place
    assert (volume / "x/y").stat().st_mode & 0o777 == 0o777
    (volume / "x/y/file").write_text("through the volume")
    assert (part / "file").read_text() == "through the volume"
    (volume / "relative").symlink_to("x/y/file")
    (volume / "absolute").symlink_to(volume / "x")
    assert shown(volume, "relative", place.with_name("f")).read_text() == "through the volume"
    assert (shown(volume, "absolute/y", place.with_name("a")) / "file").exists()


@pytest.mark.root
def test_a_place_shows_what_the_part_is_now(volume: Path, place: Path) -> None:
    """Shown again, the same part stays mounted once; a file that was exchanged is shown anew."""
    (volume / "f").write_text("old")
    shown(volume, "f", place)
    shown(volume, "f", place)
    assert sum(point.target == str(place) for point in mounts.table()) == 1
    (volume / "new").write_text("new")
    (volume / "new").rename(volume / "f")
    assert shown(volume, "f", place).read_text() == "new"
    (volume / "f").unlink()
    (volume / "f").mkdir()
    assert shown(volume, "f", place).is_dir()
    beneath.release(place)
    assert not place.exists()


@pytest.mark.root
@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("out", "failed to prepare subPath"),
        ("out/deeper", "failed to prepare subPath"),
        ("loop", "failed to create subPath directory"),
        ("file/below", "failed to create subPath directory"),
    ],
)
def test_links_that_lead_out_are_refused(volume: Path, place: Path, wanted: str, words: str) -> None:
    """Nothing is made where they lead, and the refusal does not tell where that is."""
    outside = volume.parent / "outside"
    outside.mkdir()
    (volume / "out").symlink_to(outside)
    (volume / "loop").symlink_to("loop")
    (volume / "file").write_text("")
    with pytest.raises(MissingReference) as refused:
        shown(volume, wanted, place)
    assert str(refused.value) == f'{words} for volumeMount "data" of container "web"'
    assert list(outside.iterdir()) == []
    assert not place.exists()


@pytest.mark.root
def test_to_end_a_part_unmounts_nothing_of_the_machine(volume: Path, place: Path) -> None:
    """What somebody mounts below a shared source shows in its part, and stays where it is when the part goes."""
    disk = volume / "part" / "disk"
    disk.mkdir(parents=True)
    place.parent.mkdir()
    for folder in (volume, place.parent):
        mounts.share(str(folder))
    shown(volume, "part", place)
    mounts.tmpfs(str(disk))
    (disk / "file").write_text("")
    assert (place / "disk" / "file").exists()
    mounts.unmount_below(str(place.parent))
    assert (disk / "file").exists()


@contextmanager
def attacker(*names: Path) -> Iterator[None]:
    """Exchanges what the first two names stand for, as fast as it can."""
    done = threading.Event()
    renameat2 = ctypes.CDLL(None).renameat2
    paths = [os.fsencode(name) for name in names]

    def swap() -> None:
        while not done.is_set():
            renameat2(-100, paths[0], -100, paths[1], 2)  # AT_FDCWD, RENAME_EXCHANGE

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.root
@pytest.mark.parametrize("depth", ["", "/inner"])
def test_an_attacker_who_swaps_links_never_gets_out(volume: Path, place: Path, depth: str) -> None:
    """A folder and a link to a secret change places all the time: the secret is never shown, and nothing made near it."""
    outside = volume.parent / "outside"
    (outside / "inner").mkdir(parents=True)
    for folder in (outside, outside / "inner"):
        (folder / "secret").write_text("")
    (volume / "x" / "inner").mkdir(parents=True)
    (volume / "link").symlink_to(outside)
    outcomes = {"shown": 0, "refused": 0}
    with attacker(volume / "x", volume / "link"):
        for number in range(1500):
            try:
                part = shown(volume, f"x{depth}" if number % 2 else f"x{depth}/made{number}", place)
            except MissingReference:
                outcomes["refused"] += 1
                continue
            outcomes["shown"] += 1
            assert not (part / "secret").exists()
    assert outcomes["shown"] > 0 < outcomes["refused"], outcomes
    assert sorted(path.name for path in outside.rglob("*")) == ["inner", "secret", "secret"]
