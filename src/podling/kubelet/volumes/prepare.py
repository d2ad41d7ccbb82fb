"""Makes a Pod's volumes ready, and takes them away.

Owns which folder is which volume: `ROOT/UID/volumes/KIND/NAME`, upstream's layout. Invariants: preparing again changes
nothing that is right; a volume's folder never follows a link out of the Pod's; tearing down removes what preparing
made, memory file systems first, and never what a hostPath points to.
"""

from __future__ import annotations

import asyncio
import functools
import os
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from podling.api.errors import StatusError
from podling.api.quantity import parse
from podling.api.times import to_wire_micro
from podling.kubelet.objects import MissingReference
from podling.kubelet.volumes.claims import ClaimFailure, folder_of, give_to_group, is_read_only
from podling.kubelet.volumes.subpath import FOLDER as SUB_PATHS
from podling.kubelet.volumes.writer import ProjectedFile, write_projection
from podling.lifecycle.limits import every_container_limits, pod_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import EmptyDirVolumeSource, PersistentVolume, Pod, Volume
    from podling.kubelet.volumes.claims import ClaimVolumes
    from podling.kubelet.volumes.payload import Payloads

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_KINDS: Final = {
    "config_map": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downward_api": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
    "empty_dir": "kubernetes.io~empty-dir",
}


class VolumeFailure(Exception):  # an outcome that the plan retries
    """A volume could not be made ready; the message is what the FailedMount event says."""


class Volumes(Protocol):
    """Volumes of the Pods of one node."""

    async def prepare(self, pod: Pod, addresses: Sequence[str]) -> Mapping[str, str]:
        """Make every volume ready and return host paths by volume name; `VolumeFailure` says what stands in the way."""
        ...

    async def empty(self, uid: str) -> None:
        """Remove the volumes of a Pod that has ended; what tells of its end stays."""
        ...

    async def tear_down(self, uid: str) -> None:
        """Remove all that was made for a Pod."""
        ...


class SimulatedVolumes:
    """Volumes of Pods that have no files: references must exist, and nothing is written."""

    def __init__(self, payloads: Payloads, claims: ClaimVolumes | None = None) -> None:
        self._payloads = payloads
        self._claims = claims

    async def prepare(self, pod: Pod, addresses: Sequence[str]) -> Mapping[str, str]:
        for volume in pod.spec.volumes:
            try:
                await self._payloads.gather(pod, volume, addresses)
                if self._claims is not None:
                    await self._claims.volume_of(pod, volume)
            except ClaimFailure as failure:
                raise VolumeFailure(str(failure)) from failure
            except (MissingReference, ValueError, StatusError) as missing:
                raise VolumeFailure(_set_up_failed(volume.name, str(missing))) from missing
        return {volume.name: "" for volume in pod.spec.volumes}

    async def empty(self, uid: str) -> None:
        self._payloads.forget(uid)
        if self._claims is not None:
            self._claims.forget(uid)

    async def tear_down(self, uid: str) -> None:
        await self.empty(uid)


class DiskVolumes:
    """Volumes as folders below `root`, and memory file systems where asked for."""

    def __init__(
        self,
        root: Path,
        payloads: Payloads,
        clock: Clock,
        memory: Callable[[], int | None] = lambda: None,
        claims: ClaimVolumes | None = None,
        *,
        secrets_in_memory: bool = False,
    ) -> None:
        """`memory` gives the bytes that Pods of this node can have: no volume in memory is larger.

        With `secrets_in_memory` what is projected of Secrets, tokens and Pods never lies on a disk, as upstream has it.
        """
        self._secrets_in_memory = secrets_in_memory
        self._claims = claims
        self._owned: dict[tuple[str, str], None] = {}
        """By Pod uid and volume name, the claims that were given to the Pod's fsGroup."""
        self._memory = memory
        self._root = root
        self._payloads = payloads
        self._clock = clock

    async def prepare(self, pod: Pod, addresses: Sequence[str]) -> Mapping[str, str]:
        works: dict[str, Callable[[], str]] = {}
        for volume in pod.spec.volumes:
            try:
                works[volume.name] = await self._gather(pod, volume, addresses)
            except ClaimFailure as failure:
                raise VolumeFailure(str(failure)) from failure
            except (MissingReference, ValueError, OSError, StatusError) as failure:
                raise VolumeFailure(_set_up_failed(volume.name, str(failure))) from failure
        # All of it at once: each way to another thread and back waits for the loop.
        return await self._aside(_make_all, works) if works else {}

    async def _gather(self, pod: Pod, volume: Volume, addresses: Sequence[str]) -> Callable[[], str]:
        """Ask for what a volume is made from; return the work on the disk that makes it, which returns its path."""
        from podling.kubelet.volumes import folders

        if volume.host_path is not None:
            return functools.partial(folders.host_path, volume.host_path)
        if volume.image is not None:
            return str
        claimed = await self._claims.volume_of(pod, volume) if self._claims is not None else None
        if claimed is not None:
            shown = await self._claimed(pod, volume, claimed)
            return lambda: shown
        path = self._path(pod, volume)
        security = pod.spec.security_context
        group = security.fs_group if security is not None else None
        if volume.empty_dir is not None:
            size = self._memory_size(pod, volume.empty_dir)
            return functools.partial(folders.empty_dir, path, volume.empty_dir, group, size)
        files = await self._payloads.gather(pod, volume, addresses)
        if files is None:
            raise VolumeFailure(_set_up_failed(volume.name, "no volume plugin matched"))
        revision = to_wire_micro(self._clock.time()).translate({ord(c): "_" for c in "-T:"}).rstrip("Z")
        in_memory = self._secrets_in_memory and volume.config_map is None
        return functools.partial(_project, path, files, revision, group, in_memory=in_memory)

    async def _claimed(self, pod: Pod, volume: Volume, claimed: PersistentVolume) -> str:
        path = await self._aside(folder_of, claimed)
        security, key = pod.spec.security_context, (pod.metadata.uid, volume.name)
        group = security.fs_group if security is not None else None
        if group is not None and claimed.spec.local is not None and not is_read_only(volume) and key not in self._owned:
            assert security is not None
            await self._aside(give_to_group, path, group, security.fs_group_change_policy)
            self._owned[key] = None
        return path

    async def _aside(
        self, work: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Do work on the disk without holding the loop."""
        with self._clock.external():
            return await asyncio.to_thread(work, *args, **kwargs)

    def _memory_size(self, pod: Pod, source: EmptyDirVolumeSource) -> int | None:
        """Return what a volume in memory may hold: the least of its limit, the Pod's and what the node has for Pods."""
        of_pod = pod_limit(pod, "memory") if every_container_limits(pod, "memory") else None
        own = parse(source.size_limit).value() if source.size_limit else 0
        bounds = (self._memory(), of_pod.value() if of_pod is not None else None, own)
        return min((bound for bound in bounds if bound), default=None)

    def _path(self, pod: Pod, volume: Volume) -> Path:
        for kind, folder in _KINDS.items():
            if getattr(volume, kind) is not None:
                return self._root / pod.metadata.uid / "volumes" / folder / volume.name
        raise VolumeFailure(_set_up_failed(volume.name, "no volume plugin matched"))

    async def empty(self, uid: str) -> None:
        await self._remove(uid, self._root / uid / SUB_PATHS, self._root / uid / "volumes")

    async def tear_down(self, uid: str) -> None:
        await self._remove(uid, self._root / uid)

    async def _remove(self, uid: str, *folders: Path) -> None:
        self._payloads.forget(uid)
        self._owned = {key: None for key in self._owned if key[0] != uid}
        if self._claims is not None:
            self._claims.forget(uid)
        for folder in folders:
            if folder.exists():
                await self._aside(_take_away, folder)


def _take_away(folder: Path) -> None:
    from podling.linux import mounts, trees

    mounts.unmount_below(str(folder))
    trees.remove_tree(folder)


def _make_all(works: Mapping[str, Callable[[], str]]) -> Mapping[str, str]:
    """Do each work in turn; `VolumeFailure` names the volume whose did not come off."""
    paths = {}
    for name, work in works.items():
        try:
            paths[name] = work()
        except (ValueError, OSError) as failure:
            raise VolumeFailure(_set_up_failed(name, str(failure))) from failure
    return paths


def _project(
    path: Path, files: Mapping[str, ProjectedFile], revision: str, group: int | None, *, in_memory: bool
) -> str:
    if in_memory and not os.path.ismount(path):
        from podling.linux import mounts

        path.mkdir(parents=True, exist_ok=True)
        mounts.tmpfs(str(path), mode=0o755)
    write_projection(path, files, revision, group)
    return str(path)


def _set_up_failed(name: str, why: str) -> str:
    return f'MountVolume.SetUp failed for volume "{name}" : {why}'
