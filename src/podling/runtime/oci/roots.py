"""Where a container's file systems are mounted: its root, the images it mounts, what it sees of the node.

Owns the mounts below a bundle, and for a container in a user namespace those below `<run>/roots/<id>`, where the
namespace's root, who is nobody on the node, can find them and no other user of the node can. There everything is
mounted with its owners shifted, so that files on disk have the owners that the container sees, whatever ids its Pod was
given. Only the writable layer holds the node's ids, and it goes with its container. Runs in threads.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from podling.linux import mounts
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.runtime.protocol import Mount

_LINK = "mounts"


class Place(Protocol):
    """Where one container's file systems go."""

    def mount_root(self, layers: Sequence[str]) -> Path:
        """Mount the layers (topmost first) with the bundle's writable one over them."""
        ...

    def mount_image(self, name: str, layers: Sequence[str]) -> Path:
        """Mount the layers read-only."""
        ...

    def source(self, name: str, path: str) -> str:
        """Return what to bind for `path` of the node; nothing where that is the path itself."""
        ...


class Plain:
    """Beside the bundle, with the node's own ids."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle

    def mount_root(self, layers: Sequence[str]) -> Path:
        root = self._bundle / "rootfs"
        mounts.overlay(str(root), layers, upper=str(self._bundle / "upper"), work=str(self._bundle / "work"))
        return root

    def mount_image(self, name: str, layers: Sequence[str]) -> Path:
        target = self._bundle / name
        target.mkdir()
        mounts.overlay(str(target), layers)
        return target

    def source(self, name: str, path: str) -> str:
        del name, path
        return ""


class Mapped:
    """For a user namespace, pinned at `users`, whose root is `owner` on the node."""

    def __init__(self, bundle: Path, place: Path, users: str, owner: int) -> None:
        self._bundle = bundle
        self._place = place
        self._users = users
        self._owner = owner
        (bundle / _LINK).symlink_to(place)
        place.mkdir(parents=True)
        place.parent.chmod(0o711)
        os.chown(place, -1, owner)
        place.chmod(0o710)

    def mount_root(self, layers: Sequence[str]) -> Path:
        upper = self._bundle / "upper"
        os.chown(upper, self._owner, self._owner)
        return self._overlay("rootfs", layers, str(upper), str(self._bundle / "work"))

    def mount_image(self, name: str, layers: Sequence[str]) -> Path:
        return self._overlay(name, layers)

    def source(self, name: str, path: str) -> str:
        if not path:
            return ""
        target = self._place / name
        _make_like(path, target)
        # A bind of what holds this place would hold all other binds in it, and keep busy what they mount.
        around = self._place.is_relative_to(Path(path).resolve())
        mounts.bind_mapped(path, str(target), self._users, recursive=not around)
        return str(target)

    def _overlay(self, name: str, layers: Sequence[str], upper: str = "", work: str = "") -> Path:
        target = self._place / name
        target.mkdir()
        lower = [self._place / f"layer-{number}" for number in range(len(layers))]
        for folder, layer in zip(lower, layers, strict=True):
            folder.mkdir()
            mounts.bind_mapped(layer, str(folder), self._users)
        mounts.overlay(str(target), [str(folder) for folder in lower], upper=upper, work=work)
        for folder in lower:  # the overlay holds them by itself
            mounts.unmount(str(folder))
            folder.rmdir()
        return target


def _make_like(path: str, target: Path) -> None:
    """Make something that `path` can be mounted at."""
    if Path(path).is_dir():
        target.mkdir()
    else:
        target.touch()


def check_propagation(mount: Mount) -> None:
    """Refuse a mount that would propagate nothing, as containerd does."""
    if mount.propagation == "private" or not mount.host_path:
        return
    held = mounts.holding(os.path.realpath(mount.host_path))
    if held.shared or (held.slave and mount.propagation == "rslave"):
        return
    what = "shared" if mount.propagation == "rshared" else "shared or slave"
    raise RuntimeFailure(
        "CreateContainerError",
        f'failed to generate spec: path "{mount.host_path}" is mounted on "{held.target}" but it is not a {what} mount',
    )


def release(bundle: Path) -> None:
    """Unmount what the bundle has mounted; its files stay."""
    for entry in bundle.iterdir() if bundle.is_dir() else ():
        if entry.name == "rootfs" or entry.name.startswith("image-"):
            mounts.unmount(str(entry))
    with contextlib.suppress(FileNotFoundError):
        clear((bundle / _LINK).readlink())


def clear(place: Path) -> None:
    """Unmount what was mounted for a container in a user namespace, and remove what it was mounted at."""
    for entry in list(place.iterdir()):
        mounts.unmount(str(entry))
        # Never what is in it: where something is still mounted, that is a volume.
        if entry.is_dir():
            entry.rmdir()
        else:
            entry.unlink()
    place.rmdir()
