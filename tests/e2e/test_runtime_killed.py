"""Podling is killed while the oci runtime starts containers: none runs twice, none is lost, none is left over."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.linux import cgroup, mounts
from podling.runtime.protocol import Container, ContainerState

pytestmark = pytest.mark.root

_COUNT = 6
_STARTER = """
    import asyncio, sys
    from pathlib import Path
    from podling.runtime.oci.runtime import OciRuntime
    from podling.runtime.protocol import ContainerConfig, Mount, SandboxConfig

    async def main(data, instance, low_level, marks):
        runtime = OciRuntime(Path(data), instance=instance, low_level=low_level)
        await runtime.start()
        image = (await runtime.images.list())[0].id
        print("ready", flush=True)

        async def one(number):
            uid = f"pod-{number}"
            sandbox = await runtime.run_sandbox(SandboxConfig(
                uid=uid, namespace="d", name=uid, attempt=0, hostname=uid,
                log_directory=Path(data) / "logs" / uid, cgroup_parent=f"/kubepods/{uid}"))
            container = await runtime.create_container(sandbox.id, ContainerConfig(
                name="main", attempt=0, image=image, image_reference="busybox", log_path="main.log",
                command=("sh", "-c", f"echo ran >>/marks/{number}; trap 'exit 7' TERM; sleep 100 & wait; exit 7"),
                mounts=(Mount("/marks", marks),)))
            await runtime.start_container(container)

        await asyncio.gather(*(one(number) for number in range(%d)))
        print("all", flush=True)
        await asyncio.sleep(100)

    asyncio.run(main(*sys.argv[1:]))
"""


def prepare(data: Path, instance: str, directory: Path) -> None:
    from podling.runtime.oci.images.build import build_busybox
    from podling.runtime.oci.runtime import OciRuntime

    async def main() -> None:
        build_busybox(directory / "image.tar")
        runtime = OciRuntime(data, instance=instance)
        await runtime.start()
        await runtime.images.load(directory / "image.tar")
        await runtime.close()

    asyncio.run(main())


@pytest.mark.parametrize("low_level", ["crun", "runc"])
@pytest.mark.parametrize("after", [0.005, 0.03, 0.06, 0.1, 0.2])
def test_killed_while_starting(tmp_path: Path, low_level: str, after: float) -> None:
    """After kill -9 and a new start every container has run once, or is started now and has then run once."""
    from podling.runtime.oci import teardown
    from podling.runtime.oci.runtime import OciRuntime

    if shutil.which(low_level) is None:
        pytest.skip(f"{low_level} is not installed")
    data, instance, marks = tmp_path / "data", f"t{Chance().hex(7)}", tmp_path / "marks"
    marks.mkdir()

    def ran(number: int) -> int:
        path = marks / str(number)
        return len(path.read_text().splitlines()) if path.exists() else 0

    async def after_the_kill() -> None:
        runtime = OciRuntime(data, instance=instance, low_level=low_level)
        await runtime.start()
        try:
            uids.update({each.id: each.uid for each in await runtime.list_sandboxes()})
            before = await runtime.list_containers()
            await asyncio.sleep(0.3)  # whatever was still on its way would show now
            for container in before:
                if container.state is ContainerState.CREATED:
                    assert ran(number(container)) == 0
                    await runtime.start_container(container.id)
                else:
                    assert container.state is ContainerState.RUNNING
            async with asyncio.timeout(20):
                while any(ran(number(each)) != 1 for each in await runtime.list_containers()):
                    await asyncio.sleep(0.05)
            for container in await runtime.list_containers():
                assert container.state is ContainerState.RUNNING
                await runtime.stop_container(container.id, 10)
                ended = await runtime.container(container.id)
                assert ended is not None
                assert ended.exit_code == 7
                assert ran(number(container)) == 1
        finally:
            await runtime.close()

    uids: dict[str, str] = {}

    def number(container: Container) -> int:
        return int(uids[container.sandbox].removeprefix("pod-"))

    prepare(data, instance, tmp_path)
    try:
        starter = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_STARTER) % _COUNT, str(data), instance, low_level, str(marks)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        try:
            assert starter.stdout is not None
            assert starter.stdout.readline() == b"ready\n"
            time.sleep(after)
        finally:
            starter.send_signal(signal.SIGKILL)
            starter.wait()
            starter.stdout.close()
        asyncio.run(after_the_kill())
    finally:
        asyncio.run(teardown(data, instance))
    assert not cgroup.detect().group(f"podling-{instance}").exists()
    assert not [point for point in mounts.table() if instance in point.target or str(tmp_path) in point.target]
    assert not Path(f"/run/podling/{instance}").exists()


@pytest.mark.parametrize("low_level", ["crun", "runc"])
def test_what_was_begun_too_late_is_in_nobodys_way(tmp_path: Path, low_level: str) -> None:
    """A low-level runtime that a killed Podling had started made its container after all was looked for: begun anew."""
    from podling.runtime.oci import teardown
    from podling.runtime.oci.runtime import OciRuntime
    from podling.runtime.protocol import ContainerConfig, SandboxConfig

    if shutil.which(low_level) is None:
        pytest.skip(f"{low_level} is not installed")
    data, instance = tmp_path / "data", f"t{Chance().hex(7)}"
    prepare(data, instance, tmp_path)

    async def main() -> None:
        runtime = OciRuntime(data, instance=instance, low_level=low_level)
        await runtime.start()
        image = (await runtime.images.list())[0].id
        config = SandboxConfig("pod", "d", "pod", 0, "pod", data / "logs", "/kubepods/pod")
        sandbox = await runtime.run_sandbox(config)
        command = ("sh", "-c", "trap 'exit 7' TERM; sleep 100 & wait; exit 7")
        container = await runtime.create_container(
            sandbox.id, ContainerConfig("main", 0, image, "busybox", command=command, log_path="main.log")
        )
        (runtime.layout.low_level / container).mkdir(parents=True)
        await runtime.start_container(container)
        held = await runtime.container(container)
        assert held is not None and held.state is ContainerState.RUNNING
        await runtime.stop_container(container, 10)
        await runtime.close()

    try:
        asyncio.run(main())
    finally:
        asyncio.run(teardown(data, instance))
