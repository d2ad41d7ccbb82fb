"""Archives that nobody should trust: nothing is written outside, nothing half-done stays, the reason is told."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.runtime.oci.images.build import write_archive
from podling.runtime.oci.images.limits import ArchiveRefused, Bounds
from podling.runtime.oci.images.pull import Puller
from podling.runtime.oci.images.store import OciImages
from podling.runtime.oci.images.unpack import unpack
from podling.runtime.protocol import RuntimeFailure

pytestmark = pytest.mark.root


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b"", **more: object) -> Callable:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(content)
        for key, value in more.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(content))

    return add


def layer(*entries: Callable) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for add in entries:
            add(tar)
    return data.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def taken(tmp_path: Path, data: bytes, bounds: Bounds | None = None) -> Path:
    root = tmp_path / "outer" / "root"
    root.mkdir(parents=True)
    unpack(io.BytesIO(data), root, digest(data), bounds)
    return root


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../evil", content=b"x")],
        [entry("a/../../evil", content=b"x")],
        [entry("link", tarfile.LNKTYPE, "../../evil")],
        [entry("link", tarfile.LNKTYPE, "/etc/passwd")],
        [entry("d", tarfile.DIRTYPE), entry("link", tarfile.LNKTYPE, "d")],
        [entry(".wh...", content=b"")],
    ],
)
def test_what_climbs_out_is_refused(tmp_path: Path, entries: list[Callable]) -> None:
    """Names and hard links that lead outside are refused."""
    with pytest.raises(ArchiveRefused):
        taken(tmp_path, layer(*entries))
    assert not (tmp_path / "outer" / "evil").exists()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("target", ["/", "..", "../..", "/proc/self/root", "."])
def test_links_are_followed_inside_only(tmp_path: Path, target: str) -> None:
    """A file below a symbolic link lands inside the image, whatever the link says, or is refused."""
    data = layer(entry("way", tarfile.SYMTYPE, target), entry("way/evil", content=b"x"))
    try:
        root = taken(tmp_path, data)
        assert (root / "evil").read_bytes() == b"x"
    except ArchiveRefused:
        pass
    assert not (tmp_path / "outer" / "evil").exists()
    assert not Path("/evil").exists()


def test_absolute_names_land_inside(tmp_path: Path) -> None:
    """An absolute name is one below the image's root."""
    root = taken(tmp_path, layer(entry("/etc/x", content=b"x")))
    assert (root / "etc/x").read_bytes() == b"x"


def test_a_file_never_writes_through_a_link(tmp_path: Path) -> None:
    """A file of a link's name replaces the link."""
    victim = tmp_path / "victim"
    victim.write_text("whole")
    root = taken(tmp_path, layer(entry("f", tarfile.SYMTYPE, str(victim)), entry("f", content=b"x")))
    assert victim.read_text() == "whole"
    assert not (root / "f").is_symlink()


def test_devices_and_forged_whiteouts_are_left_out(tmp_path: Path) -> None:
    """No device node is made, and a layer cannot set overlay's own attributes."""
    forged = entry("d", tarfile.DIRTYPE, pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y"})
    root = taken(tmp_path, layer(entry("disk", tarfile.BLKTYPE, devmajor=8, devminor=0), forged))
    assert not (root / "disk").exists()
    assert "trusted.overlay.opaque" not in os.listxattr(root / "d")


def test_whiteouts_become_overlays(tmp_path: Path) -> None:
    """`.wh.x` hides x, `.wh..wh..opq` hides what the directory had below."""
    root = taken(tmp_path, layer(entry("d", tarfile.DIRTYPE), entry("d/.wh..wh..opq"), entry(".wh.gone")))
    status = os.lstat(root / "gone")
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == 0
    assert os.getxattr(root / "d", "trusted.overlay.opaque") == b"y"


def test_ownership_and_modes_are_kept(tmp_path: Path) -> None:
    """Owner, group, set-user-id and attributes are those of the layer."""
    root = taken(
        tmp_path, layer(entry("s", content=b"x", uid=12, gid=34, mode=0o4755, pax_headers={"SCHILY.xattr.user.a": "b"}))
    )
    status = os.stat(root / "s")
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12, 34, 0o4755)
    assert os.getxattr(root / "s", "user.a") == b"b"


def test_bombs_are_refused(tmp_path: Path) -> None:
    """Size, ratio and number of entries are bounded."""
    bomb = layer(entry("zeros", content=b"\0" * (3 << 20)))
    for number, (bounds, data) in enumerate(
        (
            (Bounds(layer=1 << 20), bomb),
            (Bounds(ratio=10, ratio_from=1 << 20), gzip.compress(bomb)),
            (Bounds(entries=3), layer(*[entry(f"f{each}") for each in range(10)])),
        )
    ):
        root = tmp_path / str(number)
        root.mkdir()
        with pytest.raises(ArchiveRefused):
            unpack(io.BytesIO(data), root, digest(bomb), bounds)


def test_broken_layers_are_refused(tmp_path: Path) -> None:
    """A truncated or altered layer is not taken."""
    data = layer(entry("f", content=b"x" * 5000))
    for number, broken in enumerate((data[:2000], gzip.compress(data)[:-20], data.replace(b"xxxx", b"yyyy"))):
        root = tmp_path / str(number)
        root.mkdir()
        with pytest.raises(ArchiveRefused):
            unpack(io.BytesIO(broken), root, digest(data))


def store(tmp_path: Path) -> OciImages:
    images = OciImages(tmp_path / "images", Chance(), puller=Puller(SystemClock()))
    images.open()
    return images


def outer(**members: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members.items():
            entry(name.replace("__", "/").replace("DOT", "."), content=content)(tar)
    return data.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tar at all" * 100,
        outer(other=b"x"),
        outer(manifestDOTjson=b"{"),
        outer(manifestDOTjson=b"[]"),
        outer(indexDOTjson=b'{"manifests": []}'),
        outer(manifestDOTjson=b'[{"Config": "../../etc/passwd", "Layers": [], "RepoTags": []}]'),
        outer(manifestDOTjson=b'[{"Config": "a.json", "Layers": ["/etc/passwd"]}]', aDOTjson=b'{"rootfs":{"diff_ids":[]}}'),
        outer(manifestDOTjson=b'[{"Layers": []}]'),
        outer(manifestDOTjson=b'[{"Config": "a.json", "Layers": []}]', aDOTjson=b'{"rootfs": {"diff_ids": ["sha256:../x"]}}'),
        outer(indexDOTjson=b'{"manifests": [{"digest": "sha256:../../etc"}]}'),
        outer(indexDOTjson=json.dumps({"manifests": [{"digest": "sha256:" + "a" * 64}]}).encode(),
              **{"blobs__sha256__" + "a" * 64: b"{}"}),
        gzip.compress(b"x" * 100000, mtime=0)[:-50],
    ],
)  # fmt: skip
def test_a_bad_archive_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    """It is refused with ErrImagePull, and neither a layer nor an image stays."""
    path = tmp_path / "bad.tar"
    path.write_bytes(content)
    images = store(tmp_path)
    with pytest.raises(RuntimeFailure) as failure:
        asyncio.run(images.load(path))
    assert failure.value.reason == "ErrImagePull"
    assert asyncio.run(images.list()) == []
    assert list((tmp_path / "images" / "layers").iterdir()) == []
    assert list((tmp_path / "images" / "tmp").iterdir()) == []


def test_layers_are_shared_and_go_with_their_last_image(tmp_path: Path) -> None:
    """Two images of one layer have it once; it goes when the second one goes; names move to the newer image."""
    shared, own = layer(entry("a", content=b"1")), layer(entry("b", content=b"2"))

    async def scenario() -> None:
        images = store(tmp_path)
        write_archive(tmp_path / "1.tar", [shared], "one:v1", {"User": "5"})
        write_archive(tmp_path / "2.tar", [shared, own], "two", {})
        (tmp_path / "2.tar.gz").write_bytes(gzip.compress((tmp_path / "2.tar").read_bytes()))
        assert await images.load(tmp_path / "1.tar") == ["docker.io/library/one:v1"]
        assert await images.load(tmp_path / "2.tar.gz") == ["docker.io/library/two:latest"]
        layers = tmp_path / "images" / "layers"
        assert {item.name for item in layers.iterdir()} == {digest(shared)[7:], digest(own)[7:]}
        first = await images.status("one:v1")
        assert first is not None
        assert first.user == "5"
        assert [Path(item).name for item in images.layers((await images.list())[1].id)] == [
            digest(own)[7:],
            digest(shared)[7:],
        ]
        await images.remove("two")
        assert {item.name for item in layers.iterdir()} == {digest(shared)[7:]}
        again = store(tmp_path)
        assert await again.list() == [first]
        await again.remove(first.id)
        assert list(layers.iterdir()) == []

    asyncio.run(scenario())
