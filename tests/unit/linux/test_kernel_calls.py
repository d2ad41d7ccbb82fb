"""Kernel calls: processes, files, groups, rules."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.linux import cgroup, files, mounts, namespaces, processes
from podling.linux.local import LocalHost
from podling.linux.spawn import Launcher


def test_run_keeps_output_apart_and_bounded() -> None:
    """Exit code, both outputs and stdin come through; output beyond the limit is dropped, not waited on."""

    async def scenario() -> None:
        host = LocalHost()
        answer = await host.run(["sh", "-c", "cat; echo err >&2; exit 3"], stdin=b"in")
        assert (answer.code, answer.stdout, answer.stderr) == (3, b"in", b"err\n")
        answer = await host.run(["sh", "-c", "head -c 300000 /dev/zero"], limit=10)
        assert (answer.code, len(answer.stdout)) == (0, 10)
        assert (await host.run(["sh", "-c", "kill -9 $$"])).code == -signal.SIGKILL
        with pytest.raises(FileNotFoundError):
            await host.run(["/nonexistent/program"])
        host.close()

    asyncio.run(scenario())


def test_a_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    """`TimeoutError` comes, and nothing that the command started is left."""

    async def scenario() -> None:
        host = LocalHost()
        command = f"sleep 4713 & echo $! >{tmp_path}/pid; wait"
        with pytest.raises(TimeoutError):
            await host.run(["sh", "-c", command], timeout=0.5)
        pid = int((tmp_path / "pid").read_text())
        async with asyncio.timeout(5):
            while processes.start_time(pid) is not None:
                await asyncio.sleep(0.01)
        host.close()

    asyncio.run(scenario())


def test_a_spawned_process_has_streams_and_an_end() -> None:
    """`spawn` gives asyncio's own process."""

    async def scenario() -> None:
        host = LocalHost()
        child = await host.spawn(["sh", "-c", "read x; echo $x"], stdin=-1, stdout=-1)
        out, _ = await child.communicate(b"hello\n")
        assert (out, child.returncode) == (b"hello\n", 0)
        host.close()

    asyncio.run(scenario())


def test_a_pid_that_is_somebody_else_is_not_taken() -> None:
    """A process is known by pid and start time; another start time is another process."""
    started = processes.start_time(os.getpid())
    assert started is not None
    processes.Watched(os.getpid(), started).close()
    with pytest.raises(ProcessLookupError):
        processes.Watched(os.getpid(), started + 1)


def test_files_are_replaced_whole_and_locked_once(tmp_path: Path) -> None:
    """No temporary file stays; a second lock without waiting is refused while the first is held."""
    files.replace(tmp_path / "f", b"1", durable=True)
    files.replace(tmp_path / "f", b"2" * 200_000)
    assert (tmp_path / "f").read_bytes() == b"2" * 200_000
    assert [item.name for item in tmp_path.iterdir()] == ["f"]
    with files.locked(tmp_path / "lock"), pytest.raises(BlockingIOError), files.locked(tmp_path / "lock", wait=False):
        pass
    with files.locked(tmp_path / "lock", wait=False):
        pass


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_become_weights_as_runtimes_convert_them(shares: int, weight: int) -> None:
    """Version 1's shares map onto version 2's weights by upstream's formula."""
    assert cgroup.weight(shares) == weight


@pytest.mark.root
def test_a_group_limits_counts_kills_and_goes() -> None:
    """A process in a group is counted, killed with it, and the group is then removable."""

    async def scenario() -> None:
        from podling.aio.clock import SystemClock

        group = cgroup.detect().group(f"podling-t{Chance().hex(7)}/a")
        launcher = Launcher()
        try:
            group.create()
            assert "memory" not in group.limit(cgroup.Limits(memory_limit=64 << 20, pids_limit=20, cpu_shares=100))
            child = await launcher.start(["sleep", "4714"])
            group.add(child.pid)
            assert list(group.processes()) == [child.pid]
            assert group.usage().pids == 1
            await asyncio.to_thread(group.kill)
            assert await child.wait() == -signal.SIGKILL
        finally:
            top = cgroup.detect().group(group.path.rpartition("/")[0])
            assert await top.remove_soon(SystemClock())
            launcher.close()
        assert not top.exists()

    asyncio.run(scenario())


@pytest.mark.root
def test_namespaces_are_pinned_named_and_released(tmp_path: Path) -> None:
    """A pinned namespace has its host name and sysctls, outlives its thread, and goes with its pin."""
    pin = tmp_path / "ns"
    namespaces.create(pin, ("net", "uts"), hostname="inside", sysctls={"net.ipv4.ip_forward": "1"})
    try:
        assert namespaces.pinned(pin / "net")
        assert namespaces.inside(str(pin / "uts"), lambda: os.uname().nodename) == "inside"
        assert namespaces.inside(str(pin / "net"), lambda: namespaces.read_sysctl("net.ipv4.ip_forward")) == "1"
        with pytest.raises(ValueError, match="sysctl net.nope"):
            namespaces.create(tmp_path / "bad", ("net",), sysctls={"net.nope": "1"})
        assert not (tmp_path / "bad").exists()
    finally:
        namespaces.release(pin)
    assert not pin.exists()


@pytest.mark.root
def test_a_user_namespace_owns_what_is_made_with_it(tmp_path: Path) -> None:
    """Its network and IPC are its root's: sysctls are set as that root, and files are shown with their owners shifted."""
    pin, ids = tmp_path / "ns", [(0, 7 << 16, 1 << 16)]
    sysctls = {"kernel.shm_rmid_forced": "1", "net.ipv4.tcp_fin_timeout": "7"}
    namespaces.create(pin, ("net", "ipc", "uts"), hostname="inside", sysctls=sysctls, ids=ids)
    shown = tmp_path / "shown"
    try:
        assert all(namespaces.pinned(pin / kind) for kind in ("user", "net", "ipc", "uts"))
        assert namespaces.inside(str(pin / "ipc"), lambda: namespaces.read_sysctl("kernel.shm_rmid_forced")) == "1"
        assert namespaces.inside(str(pin / "net"), lambda: namespaces.read_sysctl("net.ipv4.tcp_fin_timeout")) == "7"
        with open("/proc/self/uid_map") as own:
            assert own.read().split()[1] == "0"  # nothing has become of this process
        (tmp_path / "file").write_text("x")
        shown.touch()
        mounts.bind_mapped(str(tmp_path / "file"), str(shown), str(pin / "user"))
        assert (shown.stat().st_uid, (tmp_path / "file").stat().st_uid) == (7 << 16, 0)
        with pytest.raises(OSError, match="cannot map the owners of /proc/version"):
            mounts.bind_mapped("/proc/version", str(shown), str(pin / "user"))
    finally:
        mounts.unmount(str(shown))
        namespaces.release(pin)


def test_a_second_view_of_the_hierarchies_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pod with the machine's root as a volume shows each hierarchy once more, below its own folder, while it runs."""
    seen = mounts.table()
    again = [replace(point, target=f"/pods/x/volume{point.target}") for point in seen if "cgroup" in point.kind]
    assert again
    before = cgroup.detect()
    monkeypatch.setattr(mounts, "table", lambda: [*seen, *again])
    assert cgroup.detect() == before
