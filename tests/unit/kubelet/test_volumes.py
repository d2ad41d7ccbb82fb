"""Volumes on disk: atomic, inside their folder, gone when the Pod is."""

from __future__ import annotations

import asyncio
import os

import msgspec
import pytest

from podling.aio.clock import VirtualClock
from podling.api.encoded import Encoded
from podling.api.errors import not_found
from podling.api.resources import CONFIG_MAPS
from podling.api.types.core_v1 import (
    ConfigMap,
    ConfigMapVolumeSource,
    Container,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    KeyToPath,
    Pod,
    PodSpec,
    ResourceRequirements,
    Volume,
)
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.objects import References
from podling.kubelet.volumes import DiskVolumes, VolumeFailure
from podling.kubelet.volumes.changes import VolumeChanges
from podling.kubelet.volumes.payload import Payloads
from podling.kubelet.volumes.writer import ProjectedFile, write_projection


class OneConfigMap:
    """A client that knows one ConfigMap."""

    def __init__(self, **data: str) -> None:
        self.data = data

    async def get(self, resource, name, namespace=""):
        if name != "conf":
            raise not_found("", "configmaps", name)
        return ConfigMap(metadata=ObjectMeta(name="conf"), data=self.data)


def pod(*volumes: Volume) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="web", namespace="default", uid="u1"),
        spec=PodSpec(containers=(Container(name="web"),), volumes=volumes),
    )


def volumes(root, client=None) -> DiskVolumes:
    client = client or OneConfigMap()
    clock = VirtualClock()
    return DiskVolumes(root, Payloads(client, References(client), clock, (), dict), clock)


def test_a_projection_is_exchanged_as_one(tmp_path):
    """Files stand behind `..data`; a new revision swaps that link, removes what left and leaves no old folder."""
    volume = tmp_path / "v"
    assert write_projection(volume, {"a": ProjectedFile(b"1", 0o644), "d/b": ProjectedFile(b"2", 0o400)}, "r1")
    assert (volume / "a").read_text() == "1"
    assert (volume / "a").readlink().parts[0] == "..data"
    assert (volume / "d" / "b").stat().st_mode & 0o777 == 0o400
    assert not write_projection(volume, {"a": ProjectedFile(b"1", 0o644), "d/b": ProjectedFile(b"2", 0o400)}, "r2")
    assert write_projection(volume, {"a": ProjectedFile(b"3", 0o644)}, "r2")
    assert sorted(path.name for path in volume.iterdir()) == ["..data", "..r2", "a"]
    assert (volume / "a").read_text() == "3"


def test_an_fs_group_can_read_a_projection(tmp_path):
    """Whatever mode was asked for, owner and group may read."""
    group = os.getgid()
    write_projection(tmp_path / "v", {"key": ProjectedFile(b"", 0o400)}, "r1", group)
    told = (tmp_path / "v" / "key").stat()
    assert (told.st_mode & 0o777, told.st_gid) == (0o440, group)
    assert not write_projection(tmp_path / "v", {"key": ProjectedFile(b"", 0o400)}, "r2", group)


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../out", "..data/x", ""])
def test_no_path_leaves_a_projection(tmp_path, path):
    """A key's path that would leave the volume is refused before anything is written."""
    with pytest.raises(ValueError, match="must stay inside"):
        write_projection(tmp_path / "v", {path: ProjectedFile(b"", 0o644)}, "r1")
    assert not (tmp_path / "v").exists()


def test_config_map_volumes_follow_their_object(run, tmp_path):
    """Prepared again, a volume shows the object's new content; chosen items go to their paths with their modes."""

    async def scenario():
        client = OneConfigMap(a="1", b="2")
        disk = volumes(tmp_path, client)
        item = KeyToPath(key="a", path="sub/a.conf", mode=0o400)
        wanted = pod(Volume(name="v", config_map=ConfigMapVolumeSource(name="conf", items=(item,))))
        paths = await disk.prepare(wanted, ())
        assert paths["v"] == str(tmp_path / "u1/volumes/kubernetes.io~configmap/v")
        file = tmp_path / "u1/volumes/kubernetes.io~configmap/v/sub/a.conf"
        assert (file.read_text(), file.stat().st_mode & 0o777) == ("1", 0o400)
        client.data = {"a": "new"}
        await disk.prepare(wanted, ())
        assert file.read_text() == "new"
        await disk.tear_down("u1")
        assert list(tmp_path.iterdir()) == []

    run(scenario())


def test_missing_references_are_told_in_upstreams_words(run, tmp_path):
    """The message is that of the FailedMount event; optional references give an empty volume."""

    async def scenario():
        disk = volumes(tmp_path)
        with pytest.raises(VolumeFailure) as failure:
            await disk.prepare(pod(Volume(name="v", config_map=ConfigMapVolumeSource(name="none"))), ())
        assert str(failure.value) == 'MountVolume.SetUp failed for volume "v" : configmap "none" not found'
        with pytest.raises(VolumeFailure, match="configmap references non-existent config key: x"):
            items = (KeyToPath(key="x", path="x"),)
            await disk.prepare(pod(Volume(name="v", config_map=ConfigMapVolumeSource(name="conf", items=items))), ())
        optional = ConfigMapVolumeSource(name="none", optional=True)
        paths = await disk.prepare(pod(Volume(name="v", config_map=optional)), ())
        assert paths["v"]

    run(scenario())


def test_empty_dirs_keep_their_content_until_torn_down(run, tmp_path):
    """Preparing again, as after a restart, changes nothing in an emptyDir."""

    async def scenario():
        disk = volumes(tmp_path)
        wanted = pod(Volume(name="v", empty_dir=EmptyDirVolumeSource()))
        path = (await disk.prepare(wanted, ()))["v"]
        (tmp_path / "u1/volumes/kubernetes.io~empty-dir/v/file").write_text("kept")
        assert (await disk.prepare(wanted, ()))["v"] == path
        assert (tmp_path / "u1/volumes/kubernetes.io~empty-dir/v/file").read_text() == "kept"

    run(scenario())


def test_host_paths_are_checked_and_never_removed(run, tmp_path):
    """A hostPath of the wrong type is refused; what it points to outlives the Pod."""

    async def scenario():
        disk = volumes(tmp_path / "pods")
        file = tmp_path / "file"
        file.write_text("mine")
        with pytest.raises(VolumeFailure, match="hostPath type check failed: .* is not a directory"):
            await disk.prepare(
                pod(Volume(name="v", host_path=HostPathVolumeSource(path=str(file), type="Directory"))), ()
            )
        await disk.prepare(pod(Volume(name="v", host_path=HostPathVolumeSource(path=str(file), type="File"))), ())
        await disk.tear_down("u1")
        assert file.read_text() == "mine"

    run(scenario())


class Watches:
    """Informers that remember who follows what."""

    def __init__(self) -> None:
        self.handlers = {}

    def follow(self, resource, selection, handler):
        self.handlers[(resource.plural, selection.namespace, selection.fields)] = handler
        return asyncio.get_running_loop().create_task(asyncio.sleep(3600))


def revised(revision: int) -> Encoded:
    return Encoded(b'{"metadata":{}}', 13, revision, name="conf", namespace="default")


def test_pods_hear_of_what_is_newer_than_what_they_show(run):
    """One watch serves all Pods of an object: each hears of later revisions and of the end, and of nothing it has."""

    async def scenario():
        watches, heard = Watches(), []
        changes = VolumeChanges(watches, heard.append)
        for uid, revision in (("old", 3), ("new", 7), ("none", 0)):
            changes.follow(uid, CONFIG_MAPS, "default", "conf")
            changes.read(uid, CONFIG_MAPS, "default", "conf", revision)
        ((key, tell),) = watches.handlers.items()
        assert key == ("configmaps", "default", "metadata.name=conf")
        tell(None, revised(7))
        assert heard == ["old", "none"]
        heard.clear()
        changes.follow("late", CONFIG_MAPS, "default", "conf")
        tell(revised(7), revised(8))
        assert heard == ["old", "new", "none"]
        changes.read("late", CONFIG_MAPS, "default", "conf", 7)
        assert heard[-1] == "late"
        heard.clear()
        tell(revised(8), None)
        assert heard == ["old", "new", "late"]
        for uid in ("old", "new", "none", "late"):
            changes.forget(uid)
        assert len(changes) == 0
        await asyncio.sleep(0)

    run(scenario())


def test_a_clock_that_stands_still_spoils_no_projection(tmp_path):
    """Two revisions of one name never share a folder."""
    for text in (b"1", b"2", b"3"):
        assert write_projection(tmp_path / "v", {"a": ProjectedFile(text, 0o644)}, "r")
        assert (tmp_path / "v/a").read_bytes() == text


def test_a_volume_in_memory_holds_no_more_than_its_pod_may(tmp_path):
    """The least of its own limit, the limit of the whole Pod, and what the node has for Pods."""
    client = OneConfigMap()
    clock = VirtualClock()
    made = DiskVolumes(tmp_path, Payloads(client, References(client), clock, (), dict), clock, lambda: 1 << 30)
    limits = ResourceRequirements(limits={"memory": "64Mi"})
    free = pod()
    bounded = msgspec.structs.replace(
        free, spec=PodSpec(containers=(Container(name="web", resources=limits),), volumes=())
    )
    plain, small = EmptyDirVolumeSource(medium="Memory"), EmptyDirVolumeSource(medium="Memory", size_limit="1Mi")
    sizes = [made._memory_size(who, source) for who in (free, bounded) for source in (plain, small)]
    assert sizes == [1 << 30, 1 << 20, 64 << 20, 1 << 20]
