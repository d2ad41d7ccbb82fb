"""A container's bundle on disk: its directory, its root file system, its specification.

Owns what stands in `<data>/pods/<uid>/bundles/<name>-<attempt>/`. Runs in threads; knows no loop. Invariants: the
record is durable before the bundle is complete; whatever fails midway is taken away again, mounts first.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from podling.linux import confinement, files, processes, syscalls, trees
from podling.runtime.oci import records, roots, seccomp, spec, users
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.runtime.oci.records import ContainerRecord
    from podling.runtime.protocol import ContainerConfig, Image, SandboxConfig

STATE = "state.json"
SPECIFICATION = "config.json"


def available_capabilities() -> frozenset[str]:
    """Return the capabilities that this process can hand on."""
    status = files.read_text("/proc/self/status") or ""
    held = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapPrm")), 0)
    return frozenset(name for number, name in enumerate(spec.ALL_CAPABILITIES) if held >> number & 1)


def devices(config: ContainerConfig) -> Sequence[spec.Device]:
    """Return the machine's device nodes that the container is to see: all of them where it is privileged."""
    paths = list(config.security.devices)
    if config.security.privileged:
        for current, directories, names in os.walk("/dev"):
            if current == "/dev":
                directories[:] = [name for name in directories if name not in {"pts", "shm", "fd", "mqueue", ".lxc"}]
            paths += [f"{current}/{name}" for name in names if f"{current}/{name}" not in {"/dev/console", "/dev/ptmx"}]
    found = []
    for path in paths:
        try:
            status = os.lstat(path)
        except FileNotFoundError as error:
            if config.security.privileged:
                continue
            raise RuntimeFailure("CreateContainerError", f'error gathering device information "{path}"') from error
        kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
        if kind:
            found.append(
                spec.Device(
                    path,
                    kind,
                    os.major(status.st_rdev),
                    os.minor(status.st_rdev),
                    stat.S_IMODE(status.st_mode),
                    status.st_uid,
                    status.st_gid,
                )
            )
    return found


def prepare(
    bundle: Path,
    record: ContainerRecord,
    sandbox: SandboxConfig,
    image: Image,
    layers: Sequence[str],
    image_layers: Mapping[str, Sequence[str]],
    around: dict[str, Any],
    mounted_at: Path,
) -> None:
    """Make the bundle whole: record on disk, root mounted, specification written.

    `mounted_at` is where to mount what the root of a user namespace must find.
    """
    for name in ("rootfs", "upper", "work"):
        (bundle / name).mkdir(parents=True)
    (bundle / "upper").chmod(_mode_of(layers[-1]))
    try:
        records.save(bundle / STATE, record, durable=True)
        files.sync_directories([bundle, bundle.parent, bundle.parent.parent])
        config = record.config
        place = _place(bundle, mounted_at, around)
        root = place.mount_root(layers)
        sources = {}
        for number, mount in enumerate(config.mounts):
            roots.check_propagation(mount)
            if mount.image:
                sources[mount.container_path] = _part_of(
                    place.mount_image(f"image-{number}", image_layers[mount.image]), mount.image_sub_path
                )
            elif source := place.source(f"volume-{number}", mount.host_path):
                sources[mount.container_path] = source
        passwd = users.read_inside(root, "/etc/passwd")
        group = users.read_inside(root, "/etc/group")
        user = users.resolve(config.security, image.user, passwd, group)
        record.user = (user.uid, user.gid, user.groups)
        if config.security.apparmor and not confinement.apparmor_profile_loaded(config.security.apparmor):
            raise RuntimeFailure("CreateContainerError", f"apparmor profile not found {config.security.apparmor}")
        available = available_capabilities()
        surroundings = spec.Surroundings(
            root=str(root), user=user, devices=devices(config), mount_sources=sources, capabilities=available,
            seccomp=seccomp.profile(config.security, spec.capabilities(config, available)),
            oom_score_floor=processes.oom_score_floor(), **around,
        )  # fmt: skip
        specification = bundle / "config.json.new"
        specification.write_bytes(msgspec.json.encode(spec.build(sandbox, config, image, surroundings)))
        records.save(bundle / STATE, record)
        specification.rename(bundle / SPECIFICATION)  # the last step: a bundle that has it is whole
    except BaseException:
        discard(bundle)
        raise


def _mode_of(directory: str) -> int:
    return stat.S_IMODE(Path(directory).stat().st_mode)


def _part_of(target: Path, sub_path: str) -> str:
    if not sub_path:
        return str(target)
    root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        inner = syscalls.open_in_root(root, sub_path, os.O_PATH)
        try:
            return str(Path(f"/proc/self/fd/{inner}").readlink())
        finally:
            os.close(inner)
    finally:
        os.close(root)


def _place(bundle: Path, place: Path, around: Mapping[str, Any]) -> roots.Place:
    owner = next((ids.host for ids in around["ids"] if ids.container == 0), None)
    if owner is None:
        return roots.Plain(bundle)
    return roots.Mapped(bundle, place, around["namespaces"]["user"], owner)


def release(bundle: Path) -> None:
    """Unmount what the bundle has mounted; its files stay."""
    roots.release(bundle)


def discard(bundle: Path) -> None:
    """Take the whole bundle away; nothing happens where nothing is."""
    release(bundle)
    trees.remove_tree(bundle)
