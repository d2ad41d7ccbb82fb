"""Sandboxes of Pods with users of their own, on this kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from podling.linux import cgroup, namespaces, processes
from podling.runtime.oci import sandboxes
from podling.runtime.oci.layout import Layout
from podling.runtime.protocol import IdMapping, RuntimeFailure, SandboxConfig

pytestmark = pytest.mark.root


def config(tmp_path: Path, **more: object) -> SandboxConfig:
    mapping = (IdMapping(0, 9 << 16, 1 << 16),)
    return SandboxConfig("u-1", "d", "p", 0, "p", tmp_path / "logs", "", user_mappings=mapping, **more)


def test_what_a_pod_shares_belongs_to_its_users(tmp_path: Path) -> None:
    """Namespaces, /dev/shm and the shared processes' first one are its root's; all of it goes, and no process stays."""
    layout = Layout(tmp_path, f"userns{os.getpid()}", tmp_path / "run")
    layout.images.mkdir()
    hierarchies = cgroup.detect()
    wanted = config(tmp_path, share_process_namespace=True)
    holder = sandboxes.create(wanted, layout, hierarchies)
    pin, group = layout.pin("u-1", 0), sandboxes.group(hierarchies, layout, wanted)
    assert holder is not None
    try:
        assert all(namespaces.pinned(pin / kind) for kind in ("user", "net", "ipc", "uts", "pid"))
        assert (pin / "shm").stat().st_uid == (pin / "hostname").stat().st_uid == 9 << 16
        assert os.stat(f"/proc/{holder[0]}").st_uid == 9 << 16
        above = processes.parent(holder[0])
        assert above is not None
    finally:
        sandboxes.destroy(pin, group, holder)
        group.parent.remove()
    assert not pin.exists()
    assert processes.start_time(holder[0]) is None
    assert processes.start_time(above[0]) is None


@pytest.mark.parametrize(("users", "group"), [(True, 9 << 16), (False, 0)])
def test_other_users_of_the_machine_do_not_get_in(tmp_path: Path, users: bool, group: int) -> None:
    """A sandbox's /dev/shm is open to everybody in the Pod; who may enter its folder is the Pod's root alone."""
    layout = Layout(tmp_path, f"userns{os.getpid()}", tmp_path / "run")
    layout.images.mkdir()
    wanted = config(tmp_path) if users else replace(config(tmp_path), user_mappings=())
    sandboxes.create(wanted, layout, cgroup.detect())
    pin = layout.pin("u-1", 0)
    try:
        assert (pin / "shm").stat().st_mode & 0o777 == 0o777
        assert (pin.stat().st_uid, pin.stat().st_gid, pin.stat().st_mode & 0o777) == (0, group, 0o710)
    finally:
        of_pod = sandboxes.group(cgroup.detect(), layout, wanted)
        sandboxes.destroy(pin, of_pod, None)
        of_pod.parent.remove()


def test_a_file_system_that_cannot_shift_owners_refuses_the_sandbox(tmp_path: Path) -> None:
    """FailedCreatePodSandBox says which, and nothing of the sandbox stays."""
    layout = Layout(tmp_path, f"userns{os.getpid()}", tmp_path / "run")
    layout.images.symlink_to("/proc")
    wanted = config(tmp_path)
    with pytest.raises(RuntimeFailure, match=r"cannot map the owners of .*/images: Invalid argument") as refused:
        sandboxes.create(wanted, layout, cgroup.detect())
    assert refused.value.reason == "FailedCreatePodSandBox"
    assert not layout.pin("u-1", 0).exists()
    sandboxes.group(cgroup.detect(), layout, wanted).parent.remove()


@pytest.mark.parametrize("users", [True, False])
def test_a_holder_that_nobody_wrote_down_is_found_by_its_group(tmp_path: Path, users: bool) -> None:
    """Killed before the record, Podling finds in the Pod's group what it had started, and ends it."""
    hierarchies = cgroup.detect()
    if hierarchies.unified:
        pytest.skip("where version 2 governs alone, a thread cannot be moved by itself")
    layout = Layout(tmp_path, f"userns{os.getpid()}", tmp_path / "run")
    layout.images.mkdir()
    wanted = config(tmp_path, share_process_namespace=True)
    wanted = wanted if users else replace(wanted, user_mappings=())
    holder = sandboxes.create(wanted, layout, hierarchies)
    group = sandboxes.group(hierarchies, layout, wanted)
    assert holder is not None
    above = processes.parent(holder[0])
    assert above is not None
    held = group.child("holder").processes()
    sandboxes.destroy(layout.pin("u-1", 0), group, None)
    assert holder[0] in held
    assert above[0] in held or not users
    for pid in (holder[0], *([above[0]] if users else [])):
        processes.reap(pid)
        assert processes.start_time(pid) is None
    group.remove()
    group.parent.remove()
