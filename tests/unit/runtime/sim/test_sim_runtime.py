"""The simulated runtime keeps the Protocol's promises, to the instant."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.runtime.protocol import ContainerConfig, ContainerState, ImageId, RuntimeFailure, SandboxConfig
from podling.runtime.sim import SCRIPT_ANNOTATION, ImageScript, Run, Script, SimRuntime
from podling.runtime.sim.runtime import Fault

IMAGE = ImageId("sha256:1")


def config(**more: object) -> SandboxConfig:
    return SandboxConfig("u1", "default", "web", 0, "web", Path("/nowhere"), "/kubepods/podu1", **more)


async def started(runtime: SimRuntime, run: Run | None = None, attempt: int = 0):
    import msgspec

    script = msgspec.json.encode({"web": Script((run or Run(),))}).decode()
    sandbox = await runtime.run_sandbox(config(annotations={SCRIPT_ANNOTATION: script}))
    container = await runtime.create_container(sandbox.id, ContainerConfig("web", attempt, IMAGE, "busybox"))
    await runtime.start_container(container)
    return sandbox, container


def test_a_run_ends_at_its_instant_with_its_code(run, clock, chance):
    """A script that lasts five seconds ends after five, and says so in its facts."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        _, container = await started(runtime, Run(lasts=5, exit_code=3))
        begun = clock.time()
        await clock.advance(4.999)
        assert (await runtime.container(container)).state is ContainerState.RUNNING
        await clock.advance(1)
        told = await runtime.container(container)
        assert (told.exit_code, told.finished - begun) == (3, 5)

    run(scenario())


@pytest.mark.parametrize(
    ("script", "lasted", "code"),
    [
        (Run(), 0, 143),
        (Run(stop_latency=2), 2, 143),
        (Run(ignores_sigterm=True), 10, 137),
        (Run(stop_latency=20), 10, 137),
    ],
)
def test_stop_waits_for_the_process_then_kills_it(run, clock, chance, script, lasted, code):
    """SIGTERM is answered as the script says; who outlives the grace gets SIGKILL."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        _, container = await started(runtime, script)
        begun = clock.monotonic()
        stop = asyncio.create_task(runtime.stop_container(container, 10))
        await clock.run_until(stop.done)
        assert clock.monotonic() - begun == lasted
        assert (await runtime.container(container)).exit_code == code

    run(scenario())


def test_a_second_stop_can_only_shorten(run, clock, chance):
    """A shorter grace overtakes the first; a longer one changes nothing."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        _, container = await started(runtime, Run(ignores_sigterm=True))
        begun = clock.monotonic()
        stops = [asyncio.create_task(runtime.stop_container(container, grace)) for grace in (30, 60, 2)]
        await clock.run_until(lambda: all(stop.done() for stop in stops))
        assert clock.monotonic() - begun == 2

    run(scenario())


def test_a_container_starts_at_most_once(run, clock, chance):
    """A second start is refused, and so is the start of a dead one."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        _, container = await started(runtime, Run(lasts=1))
        with pytest.raises(RuntimeFailure):
            await runtime.start_container(container)
        await clock.advance(1)
        with pytest.raises(RuntimeFailure):
            await runtime.start_container(container)

    run(scenario())


def test_verbs_are_idempotent(run, clock, chance):
    """What is stopped may be stopped and what is removed may be removed."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        sandbox, container = await started(runtime)
        for _ in range(2):
            await runtime.stop_sandbox(sandbox.id)
            await runtime.stop_container(container, 5)
        for _ in range(2):
            await runtime.remove_container(container)
        for _ in range(2):
            await runtime.remove_sandbox(sandbox.id)
        assert await runtime.list_sandboxes() == []
        assert await runtime.list_containers() == []

    run(scenario())


def test_a_failed_start_leaves_a_dead_container(run, clock, chance):
    """A command that does not exist: the verb fails, and the facts say StartError with 128."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        with pytest.raises(RuntimeFailure, match="no such file"):
            await started(runtime, Run(start_failure="exec: no such file"))
        (told,) = await runtime.list_containers()
        assert (told.exit_code, told.reason) == (128, "StartError")

    run(scenario())


def test_a_state_can_be_forked(run, clock, chance):
    """A copy of the state goes on by itself, with what was to come, and leaves the first alone."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        _, container = await started(runtime, Run(lasts=10))
        other = SimRuntime(clock, Chance(7), state=runtime.snapshot())
        await other.start()
        await runtime.remove_container(container)
        await clock.advance(10)
        assert (await other.container(container)).exit_code == 0
        assert await runtime.container(container) is None

    run(scenario())


def test_pulls_take_their_time_fail_as_told_and_join(run, clock, chance):
    """Two pulls of one image are one; the first fails, the second comes off."""

    async def scenario():
        runtime = SimRuntime(clock, chance, images={"app": ImageScript(pull_latency=3, pull_failures=1)})
        assert await runtime.images.status("app") is None
        with pytest.raises(RuntimeFailure) as failure:
            await asyncio.gather(runtime.images.pull("app"), clock.advance(3))
        assert failure.value.reason == "ErrImagePull"
        both = asyncio.gather(runtime.images.pull("app"), runtime.images.pull("docker.io/library/app:latest"))
        begun = clock.monotonic()
        await clock.run_until(both.done)
        assert clock.monotonic() - begun == 3
        assert (await runtime.images.status("app")).id == both.result()[0]

    run(scenario())


def test_reboot_kills_everything(run, clock, chance):
    """After a reboot no container runs and no sandbox is ready, and the lists say so."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        await started(runtime)
        runtime.reboot()
        assert [c.state for c in await runtime.list_containers()] == [ContainerState.EXITED]
        assert [s.state.value for s in await runtime.list_sandboxes()] == ["notready"]

    run(scenario())


def test_events_hint_at_each_change_and_end_when_unread(run, clock, chance):
    """A reader hears of each change from its call on; one that falls behind sees the end."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        events = runtime.events()
        sandbox, container = await started(runtime)
        heard = [await anext(events) for _ in range(3)]
        assert [(e.sandbox, e.uid, e.container) for e in heard] == [
            (sandbox.id, "u1", None),
            (sandbox.id, "u1", container),
            (sandbox.id, "u1", container),
        ]
        for _ in range(5000):
            runtime._tell(sandbox.id)
        assert len([event async for event in events]) == 4096

    run(scenario())


def test_same_seed_same_world(run):
    """Two runtimes with one seed give the same ids and addresses."""

    async def world():
        runtime = SimRuntime(VirtualClock(), Chance(3), networks=["10.9.0.0/24"])
        sandbox, container = await started(runtime)
        return sandbox, container

    assert run(world()) == run(world())


def test_faults_strike_the_next_calls(run, clock, chance):
    """An injected fault fails the verb as often as told."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        runtime.faults["run_sandbox"] = Fault(1, reason="FailedCreatePodSandBox", message="no network")
        with pytest.raises(RuntimeFailure, match="no network"):
            await runtime.run_sandbox(config())
        await runtime.run_sandbox(config())

    run(scenario())


def test_a_stop_held_up_until_its_container_is_gone_is_no_failure(run, clock, chance):
    """Another may remove the container while a stop is late; then there is nothing left to stop."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        _, container = await started(runtime)
        runtime.faults["stop_container"] = Fault(1, latency=5)
        stopping = asyncio.create_task(runtime.stop_container(container, 1))
        await clock.settle()
        await runtime.remove_container(container)
        await clock.advance(5)
        await stopping
        assert await runtime.container(container) is None

    run(scenario())


def test_logs_are_in_the_format_of_the_cri(run, clock, chance, tmp_path):
    """Lines of a script stand in the container's log file with time, stream and full-line mark."""

    async def scenario():
        from msgspec.structs import replace

        runtime = SimRuntime(
            clock, chance, write_logs=True, images={"app": ImageScript(script=Script((Run(log=("hi",)),)))}
        )
        sandbox = await runtime.run_sandbox(replace(config(), log_directory=tmp_path))
        container = await runtime.create_container(
            sandbox.id, ContainerConfig("web", 0, IMAGE, "app", log_path="web/0.log")
        )
        await runtime.start_container(container)
        assert (tmp_path / "web/0.log").read_text() == "2023-11-14T22:13:20.000000000Z stdout F hi\n"

    run(scenario())


def test_a_start_goes_on_though_nobody_waits(run, clock, chance):
    """A start that was cut off comes off at its instant, also in a copy; a stop meanwhile still ends it."""

    async def scenario():
        runtime = SimRuntime(clock, chance)
        starting = asyncio.create_task(started(runtime, Run(start_latency=5)))
        await clock.advance(1)
        starting.cancel()
        await asyncio.wait([starting])
        other = SimRuntime(clock, Chance(7), state=runtime.snapshot())
        await other.start()
        (container,) = [c.id for c in await runtime.list_containers()]
        stop = asyncio.create_task(runtime.stop_container(container, 10))
        await clock.advance(10)
        assert stop.done()
        assert (await runtime.container(container)).exit_code == 143
        assert (await other.container(container)).started == clock.time() - 6

    run(scenario())
