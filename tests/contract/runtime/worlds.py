"""The worlds that the runtime contract is held in: one per implementation of `Runtime`.

A world knows how to make a container behave (`Behaviour`) in its runtime's own terms, and how to let Podling die and come
back. What a world cannot do stands in `lacks`; the suite skips those cases by that name.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.runtime.protocol import (
    Container,
    ContainerConfig,
    ContainerId,
    ImageId,
    Resources,
    Runtime,
    Sandbox,
    SandboxConfig,
)


@dataclass(frozen=True)
class Behaviour:
    """What a container's program does."""

    prints: tuple[str, ...] = ()
    exits: int | None = None
    """Exit code; `None` runs until it is stopped."""
    after: float = 0.0
    ignores_term: bool = False
    term_code: int | None = None
    """Exit code given when SIGTERM comes; `None` dies of the signal."""
    missing_program: bool = False


class World:
    """One runtime and the means to test it."""

    lacks: frozenset[str] = frozenset()
    runtime: Runtime
    image: ImageId

    def __init__(self, directory: Path, archive: Callable[[], Path]) -> None:
        self.directory = directory
        self.archive = archive
        self.chance = Chance()
        self.number = 0

    async def open(self) -> None:
        raise NotImplementedError

    async def die_and_return(self) -> None:
        """Let Podling be killed, and start it again."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def configure(self, config: ContainerConfig, behaviour: Behaviour) -> ContainerConfig:
        raise NotImplementedError

    def annotations(self, behaviours: dict[str, Behaviour]) -> dict[str, str]:
        return {}

    async def sandbox(self, **behaviours: Behaviour) -> Sandbox:
        """Run a new sandbox whose containers will behave as said."""
        self.number += 1
        uid = self.chance.uid()
        return await self.runtime.run_sandbox(
            SandboxConfig(
                uid=uid,
                namespace="default",
                name=f"pod-{self.number}",
                attempt=0,
                hostname=f"pod-{self.number}",
                log_directory=self.directory / "logs" / uid,
                cgroup_parent=f"/kubepods/besteffort/pod{uid}",
                annotations=self.annotations(behaviours),
                labels={"app": "contract"},
            )
        )

    async def create(
        self, sandbox: Sandbox, behaviour: Behaviour | None = None, *, name: str = "main", **changes: object
    ) -> ContainerId:
        config = ContainerConfig(
            name=name, attempt=0, image=self.image, image_reference="podling/busybox:latest", log_path=f"{name}/0.log"
        )
        config = self.configure(config, behaviour or Behaviour())
        return await self.runtime.create_container(sandbox.id, replace(config, **changes))

    async def started(self, behaviour: Behaviour | None = None, **changes: object) -> tuple[Sandbox, ContainerId]:
        """Run a sandbox with one started container."""
        behaviour = behaviour or Behaviour()
        sandbox = await self.sandbox(main=behaviour)
        container = await self.create(sandbox, behaviour, **changes)
        await self.runtime.start_container(container)
        return sandbox, container

    async def reached(
        self, container: ContainerId, condition: Callable[[Container], bool], timeout: float = 20
    ) -> Container:
        """Wait, by the runtime's own hints, until the container is as wished."""
        events = self.runtime.events()
        async with asyncio.timeout(timeout):
            while True:
                found = await self.runtime.container(container)
                assert found is not None
                if condition(found):
                    return found
                await anext(events)

    async def ended(self, container: ContainerId) -> Container:
        return await self.reached(container, lambda found: found.finished is not None)

    def log(self, sandbox: Sandbox, name: str = "main") -> str:
        return (self.directory / "logs" / sandbox.uid / name / "0.log").read_text()


class OciWorld(World):
    """Real containers on this machine, under an instance of the test's own."""

    low_level = ""

    async def open(self) -> None:
        self.instance = f"t{self.chance.hex(7)}"
        await self._start()
        await self.runtime.images.load(self.archive())
        self.image = (await self.runtime.images.list())[0].id

    async def _start(self) -> None:
        from podling.runtime.oci.runtime import OciRuntime

        self.runtime = OciRuntime(self.directory / "data", instance=self.instance, low_level=self.low_level)
        await self.runtime.start()

    async def die_and_return(self) -> None:
        await self.runtime.close()
        await self._start()

    async def close(self) -> None:
        from podling.runtime.oci import teardown

        try:
            await self.runtime.close()
        finally:
            await teardown(self.directory / "data", self.instance)

    def configure(self, config: ContainerConfig, behaviour: Behaviour) -> ContainerConfig:
        if behaviour.missing_program:
            return replace(config, command=("nope",))
        lines = [f"echo '{line}'" for line in behaviour.prints]
        if behaviour.ignores_term:
            lines.insert(0, "trap '' TERM")
        elif behaviour.term_code is not None:
            lines.insert(0, f"trap 'exit {behaviour.term_code}' TERM")
        else:
            # The first process of a PID namespace does not die of a signal that it does not handle.
            lines.insert(0, "trap 'exit 143' TERM")
        if behaviour.after:
            lines.append(f"sleep {behaviour.after}")
        if behaviour.exits is not None:
            lines.append(f"exit {behaviour.exits}")
        else:
            lines.append("while :; do sleep 1000 & wait; done")
        return replace(config, command=("sh", "-c", "\n".join(lines)))


class RuncWorld(OciWorld):
    """The same with runc."""

    low_level = "runc"


class SimWorld(World):
    """No containers; the script says what would have happened."""

    lacks = frozenset({"processes", "port-forward", "log-timestamps"})

    async def open(self) -> None:
        from podling.runtime.sim import SimRuntime

        self.runtime = SimRuntime(SystemClock(), self.chance, write_logs=True)
        await self.runtime.start()
        self.image = await self.runtime.images.pull("podling/busybox:latest")

    async def die_and_return(self) -> None:
        from podling.runtime.sim import SimRuntime

        assert isinstance(self.runtime, SimRuntime)
        state = self.runtime.snapshot()
        await self.runtime.close()
        self.runtime = SimRuntime(SystemClock(), self.chance, state=state, write_logs=True)
        await self.runtime.start()

    async def close(self) -> None:
        await self.runtime.close()

    def configure(self, config: ContainerConfig, behaviour: Behaviour) -> ContainerConfig:
        return replace(config, command=("sh",))

    def annotations(self, behaviours: dict[str, Behaviour]) -> dict[str, str]:
        runs = {}
        for name, behaviour in behaviours.items():
            run: dict[str, object] = {"log": list(behaviour.prints), "ignoresSigterm": behaviour.ignores_term}
            if behaviour.exits is not None:
                run |= {"exitCode": behaviour.exits, "lasts": behaviour.after}
            if behaviour.term_code is not None:
                run["stopExitCode"] = behaviour.term_code
            if behaviour.missing_program:
                run["startFailure"] = 'exec: "nope": executable file not found in $PATH: unknown'
            runs[name] = {"runs": [run]}
        return {"sim.podling.dev/script": json.dumps(runs)}


WORLDS: dict[str, type[World]] = {"oci": OciWorld, "oci-runc": RuncWorld, "sim": SimWorld}
REAL = {"oci", "oci-runc"}

__all__ = ["REAL", "WORLDS", "Behaviour", "Resources", "World"]
