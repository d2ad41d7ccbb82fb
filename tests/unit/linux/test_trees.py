"""Trees that a container has filled: removed, measured and given away without leaving them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from podling.linux import beneath, mounts, trees


def deep(top: Path, depth: int, name: str = "d" * 100) -> None:
    """Make a tree whose paths are longer than the kernel takes."""
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_depth_is_no_obstacle(tmp_path: Path) -> None:
    """Paths far longer than PATH_MAX are counted, given away and removed."""
    deep(tmp_path / "t", 3000)
    assert trees.usage_of(tmp_path / "t")[1] == 3001
    trees.give_to_group(tmp_path / "t", os.getgid(), lambda mode: mode | 0o660)
    trees.remove_tree(tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    """What a link points to stays, be it inside, on top, or the tree itself."""
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    tree = tmp_path / "t"
    (tree / "a" / "b").mkdir(parents=True)
    for place in (tree, tree / "a", tree / "a" / "b"):
        (place / "link").symlink_to(outside)
        (place / ".1").write_text("a name that the removal itself would use")
    trees.remove_tree(tree)
    tree.symlink_to(outside)
    assert trees.usage_of(tree) == (0, 0)
    trees.remove_tree(tree)
    assert not tree.is_symlink()
    assert (outside / "kept").is_dir()
    trees.remove_tree(tree)


@pytest.mark.root
def test_what_is_mounted_in_a_tree_is_no_part_of_it(tmp_path: Path) -> None:
    """A bind of a folder on the same disk is refused, not emptied."""
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("x")
    treasure.chmod(0o700)
    for place in ("t/mounted", "u/a/b/mounted"):
        target = tmp_path / place
        target.mkdir(parents=True)
        mounts.bind(str(treasure), str(target))
        try:
            with pytest.raises(OSError, match="still mounted"):
                trees.remove_tree(tmp_path / place.partition("/")[0])
            trees.give_to_group(tmp_path / place.partition("/")[0], 4711, lambda mode: mode | 0o770)
        finally:
            mounts.unmount_below(str(tmp_path))
    assert (treasure / "gold").read_text() == "x"
    assert (treasure / "gold").stat().st_gid == os.getgid()
    assert (treasure.stat().st_gid, stat.S_IMODE(treasure.stat().st_mode)) == (os.getgid(), 0o700)
    trees.remove_tree(tmp_path / "u")


@pytest.mark.root
def test_a_tree_is_given_to_a_group(tmp_path: Path) -> None:
    """Each gets its mode from its own; links are given themselves; the top is last."""
    tree, outside = tmp_path / "t", tmp_path / "outside"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_text("")
    outside.write_text("")
    outside.chmod(0o600)
    (tree / "d" / "l").symlink_to(outside)
    order: list[int] = []

    def mode_of(mode: int) -> int:
        order.append(mode)
        return mode | (0o2770 if stat.S_ISDIR(mode) else 0o660)

    trees.give_to_group(tree, 123, mode_of)
    told = {path.name: (path.lstat().st_gid, stat.S_IMODE(path.lstat().st_mode)) for path in (tree, *tree.rglob("*"))}
    assert told["t"] == (123, 0o2775)
    assert told["f"] == (123, 0o664)
    assert told["l"][0] == 123
    assert (outside.stat().st_gid, stat.S_IMODE(outside.stat().st_mode)) == (os.getgid(), 0o600)
    assert len(order) == 3
    assert stat.S_ISDIR(order[-1])


def test_reading_beneath_neither_leaves_nor_waits(tmp_path: Path) -> None:
    """Links are taken as the volume's own; a pipe, a folder and a flood are refused at once."""
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "f").write_text("inside")
    (tmp_path / "f").write_text("outside")
    (root / "d" / "up").symlink_to("../../../f")
    (root / "absolute").symlink_to("/f")
    os.mkfifo(root / "pipe")
    for path in ("f", "d/up", "absolute", "../f"):
        assert beneath.read_beneath(root, path, 100) == b"inside"
    for path in ("pipe", "d", "missing"):
        with pytest.raises(OSError, match=r"regular|directory|No such"):
            beneath.read_beneath(root, path, 100)
    with pytest.raises(OSError, match="too large"):
        beneath.read_beneath(root, "f", 5)
