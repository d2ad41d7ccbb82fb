"""What every Runtime promises."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable

import pytest

from podling.runtime.protocol import ContainerState, RuntimeFailure, SandboxState
from tests.contract.runtime.worlds import Behaviour, Resources, World

Hold = Callable[[Callable[[World], Awaitable[None]]], None]


def test_a_container_walks_from_created_over_running_to_exited(world: Hold) -> None:
    """Created, running and exited are told with their instants in order, and the exit code is the program's."""

    async def scenario(here: World) -> None:
        sandbox = await here.sandbox(main=Behaviour(exits=3, after=0.2))
        container = await here.create(sandbox, Behaviour(exits=3, after=0.2))
        found = await here.runtime.container(container)
        assert found is not None
        assert found.state is ContainerState.CREATED
        await here.runtime.start_container(container)
        ended = await here.ended(container)
        assert ended.state is ContainerState.EXITED
        assert ended.exit_code == 3
        assert ended.started is not None
        assert ended.finished is not None
        assert ended.created <= ended.started <= ended.finished

    world(scenario)


def test_verbs_may_be_called_again(world: Hold) -> None:
    """Running, creating, starting, stopping and removing twice is as once."""

    async def scenario(here: World) -> None:
        sandbox, container = await here.started()
        running = await here.runtime.container(container)
        with contextlib.suppress(RuntimeFailure):  # a second start is a failure or nothing, never a start
            await here.runtime.start_container(container)
        assert await here.runtime.container(container) == running
        for _ in range(2):
            await here.runtime.stop_container(container, 5)
        first = await here.runtime.container(container)
        assert first is not None
        assert first.finished is not None
        with contextlib.suppress(RuntimeFailure):
            await here.runtime.start_container(container)
        assert await here.runtime.container(container) == first
        for _ in range(2):
            await here.runtime.remove_container(container)
        assert await here.runtime.container(container) is None
        for _ in range(2):
            await here.runtime.stop_sandbox(sandbox.id)
        assert [each.state for each in await here.runtime.list_sandboxes()] == [SandboxState.NOT_READY]
        for _ in range(2):
            await here.runtime.remove_sandbox(sandbox.id)
        assert await here.runtime.list_sandboxes() == []

    world(scenario)


def test_a_sandbox_is_removed_with_its_containers(world: Hold) -> None:
    """Removing a sandbox ends and removes what runs in it."""

    async def scenario(here: World) -> None:
        sandbox, _ = await here.started(Behaviour(ignores_term=True))
        await here.runtime.remove_sandbox(sandbox.id)
        assert await here.runtime.list_containers() == []
        assert await here.runtime.list_sandboxes() == []

    world(scenario)


@pytest.mark.parametrize("code", [0, 7, 255])
def test_the_exit_code_is_told(world: Hold, code: int) -> None:
    """Whatever the program returns is the container's exit code."""

    async def scenario(here: World) -> None:
        _, container = await here.started(Behaviour(exits=code))
        assert (await here.ended(container)).exit_code == code

    world(scenario)


def test_ends_are_told_however_soon_they_come(world: Hold) -> None:
    """Programs that end before their start has returned are told like all others, and can be removed."""

    async def scenario(here: World) -> None:
        async def one() -> None:
            sandbox, container = await here.started(Behaviour(exits=4))
            assert (await here.ended(container)).exit_code == 4
            await here.runtime.remove_sandbox(sandbox.id)

        async with asyncio.timeout(60):
            await asyncio.gather(*(one() for _ in range(12)))

    world(scenario)


def test_stop_asks_first(world: Hold) -> None:
    """Stop sends the stop signal and lets the program end by itself within the grace."""

    async def scenario(here: World) -> None:
        _, container = await here.started(Behaviour(term_code=5))
        await asyncio.sleep(0.2)  # the shell sets its trap
        await here.runtime.stop_container(container, 20)
        found = await here.runtime.container(container)
        assert found is not None
        assert found.exit_code == 5

    world(scenario)


def test_stop_kills_what_does_not_listen(world: Hold) -> None:
    """After the grace comes SIGKILL: exit code 137, and not before the grace has passed."""

    async def scenario(here: World) -> None:
        _, container = await here.started(Behaviour(ignores_term=True))
        await asyncio.sleep(0.2)
        await here.runtime.stop_container(container, 0.5)
        found = await here.runtime.container(container)
        assert found is not None
        assert found.exit_code == 137
        assert found.started is not None
        assert found.finished is not None
        assert found.finished - found.started >= 0.5

    world(scenario)


def test_a_later_stop_may_be_shorter(world: Hold) -> None:
    """A second stop without grace ends what the first one still waits for."""

    async def scenario(here: World) -> None:
        _, container = await here.started(Behaviour(ignores_term=True))
        await asyncio.sleep(0.2)
        patient = asyncio.create_task(here.runtime.stop_container(container, 600))
        await asyncio.sleep(0.1)
        await here.runtime.stop_container(container, 0)
        async with asyncio.timeout(20):
            await patient

    world(scenario)


def test_a_program_that_does_not_exist(world: Hold) -> None:
    """Starting it fails in upstream's words, and the container has ended with 128 and StartError."""

    async def scenario(here: World) -> None:
        behaviour = Behaviour(missing_program=True)
        sandbox = await here.sandbox(main=behaviour)
        container = await here.create(sandbox, behaviour)
        with pytest.raises(RuntimeFailure) as failure:
            await here.runtime.start_container(container)
        assert 'exec: "nope": executable file not found in $PATH: unknown' in failure.value.message
        found = await here.runtime.container(container)
        assert found is not None
        assert (found.state, found.exit_code, found.reason) == (ContainerState.EXITED, 128, "StartError")

    world(scenario)


def test_hints_come_for_every_change(world: Hold) -> None:
    """A reader of events hears of creation, start and end of a container."""

    async def scenario(here: World) -> None:
        events = here.runtime.events()
        sandbox, container = await here.started(Behaviour(exits=0, after=0.1))
        await here.ended(container)
        heard = 0
        async with asyncio.timeout(10):
            while heard < 3:
                event = await anext(events)
                assert event.uid == sandbox.uid
                heard += event.container == container

    world(scenario)


def test_what_runs_is_found_again(world: Hold) -> None:
    """After Podling died and came back the same container runs: same id, same instants."""

    async def scenario(here: World) -> None:
        sandbox, container = await here.started()
        before = await here.runtime.container(container)
        await here.die_and_return()
        assert await here.runtime.container(container) == before
        assert [each.id for each in await here.runtime.list_sandboxes()] == [sandbox.id]
        assert [each.id for each in await here.runtime.list_sandboxes(sandbox.uid)] == [sandbox.id]
        assert await here.runtime.list_sandboxes("another") == []
        with contextlib.suppress(RuntimeFailure):
            await here.runtime.start_container(container)
        assert await here.runtime.container(container) == before
        await here.runtime.stop_container(container, 0)
        assert (await here.ended(container)).exit_code == 137

    world(scenario)


def test_what_was_created_can_be_started_later(world: Hold) -> None:
    """A container that was created before Podling died is started after it came back."""

    async def scenario(here: World) -> None:
        behaviour = Behaviour(exits=4)
        sandbox = await here.sandbox(main=behaviour)
        container = await here.create(sandbox, behaviour)
        await here.die_and_return()
        found = await here.runtime.container(container)
        assert found is not None
        assert found.state is ContainerState.CREATED
        await here.runtime.start_container(container)
        assert (await here.ended(container)).exit_code == 4

    world(scenario)


def test_the_log_holds_what_was_printed(world: Hold) -> None:
    """Lines stand in the CRI's format: time, stream, tag, text."""

    async def scenario(here: World) -> None:
        sandbox, container = await here.started(Behaviour(prints=("first", "second"), exits=0))
        await here.ended(container)
        lines = here.log(sandbox).splitlines()
        assert [line.split(" ", 3)[1:] for line in lines] == [["stdout", "F", "first"], ["stdout", "F", "second"]]
        for line in lines:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d)", line.split(" ")[0])

    world(scenario)


@pytest.mark.needs("processes")
def test_the_log_moves_on_after_a_rotation(world: Hold) -> None:
    """After the file was renamed and `reopen_log` called, new lines go to a new file of the old name."""

    async def scenario(here: World) -> None:
        sandbox, container = await here.started(
            command=("sh", "-c", "mkfifo /tmp/go; echo old; read line </tmp/go; echo new"),
        )
        log = here.directory / "logs" / sandbox.uid / "main" / "0.log"
        while "old" not in log.read_text():
            await asyncio.sleep(0.02)
        log.rename(log.with_suffix(".1"))
        await here.runtime.reopen_log(container)
        while not log.exists():
            await asyncio.sleep(0.02)
        await here.runtime.exec_sync(container, ["sh", "-c", "echo >/tmp/go"], 10)
        await here.ended(container)
        assert log.read_text().split()[-1] == "new"
        assert "old" not in log.read_text()
        assert log.with_suffix(".1").read_text().split()[-1] == "old"

    world(scenario)


@pytest.mark.needs("processes")
def test_exec_runs_inside(world: Hold) -> None:
    """A command sees the container's host name; its output, its exit code and the bound on its output are kept."""

    async def scenario(here: World) -> None:
        _, container = await here.started()
        result = await here.runtime.exec_sync(container, ["sh", "-c", "hostname; echo err >&2; exit 3"], 20)
        assert result.exit_code == 3
        assert sorted(result.output.split()) == [b"err", b"pod-1"]
        assert not result.timed_out
        result = await here.runtime.exec_sync(container, ["sh", "-c", "yes | head -c 100000"], 20, limit=10)
        assert result.output == b"y\n" * 5
        with pytest.raises(RuntimeFailure, match="executable file not found"):
            await here.runtime.exec_sync(container, ["nope"], 20)

    world(scenario)


@pytest.mark.needs("processes")
def test_exec_that_takes_too_long_is_killed_whole(world: Hold) -> None:
    """At the timeout the command goes with everything it has started, also what hides in a background."""

    async def scenario(here: World) -> None:
        _, container = await here.started()
        command = ["sh", "-c", "(sleep 4711 &) ; sleep 4711 & sleep 4711"]
        result = await here.runtime.exec_sync(container, command, 0.5)
        assert result.timed_out
        listed = await here.runtime.exec_sync(container, ["ps", "-o", "stat,args"], 20)
        living = [line for line in listed.output.decode().splitlines() if not line.strip().startswith("Z")]
        assert not [line for line in living if "4711" in line], living

    world(scenario)


@pytest.mark.needs("processes")
def test_exec_streams(world: Hold) -> None:
    """An exec session carries stdin, stdout and stderr apart, and ends with the command's code."""

    async def scenario(here: World) -> None:
        _, container = await here.started()
        session = await here.runtime.exec(container, ["sh", "-c", "cat; echo problem >&2; exit 9"], stdin=True)
        await session.write_stdin(b"through\n")
        await session.close_stdin()
        out = err = b""
        while data := await session.read_stdout():
            out += data
        while data := await session.read_stderr():
            err += data
        assert (out, err, await session.wait()) == (b"through\n", b"problem\n", 9)
        await session.close()

    world(scenario)


@pytest.mark.needs("processes")
def test_exec_with_a_terminal(world: Hold) -> None:
    """A terminal has the size that it was given, and carries both directions."""

    async def scenario(here: World) -> None:
        _, container = await here.started()
        # The size may arrive a moment after the command has begun, as with every terminal.
        command = "read x; until stty size 2>&1 | grep '45 123'; do sleep 0.05; done; tty"
        session = await here.runtime.exec(container, ["sh", "-c", command], stdin=True, tty=True)
        await session.resize(123, 45)
        await session.write_stdin(b"\n")
        out = b""
        while data := await session.read_stdout():
            out += data
        assert b"45 123" in out
        assert b"/dev/pts/" in out
        assert await session.wait() == 0
        await session.close()

    world(scenario)


@pytest.mark.needs("processes")
def test_an_abandoned_exec_is_killed(world: Hold) -> None:
    """Closing a session ends its command."""

    async def scenario(here: World) -> None:
        _, container = await here.started()
        session = await here.runtime.exec(container, ["sh", "-c", "echo up; sleep 4712"])
        assert await session.read_stdout() == b"up\n"
        await session.close()
        listed = await here.runtime.exec_sync(container, ["ps", "-o", "stat,args"], 20)
        assert not [
            line for line in listed.output.decode().splitlines() if "4712" in line and not line.strip().startswith("Z")
        ]

    world(scenario)


@pytest.mark.needs("processes")
def test_attach_joins_the_container_itself(world: Hold) -> None:
    """What is written comes to the program's stdin, what it prints comes back, and the end is told."""

    async def scenario(here: World) -> None:
        _, container = await here.started(
            command=("sh", "-c", "read line; echo got $line; exit 6"), stdin=True, stdin_once=True
        )
        session = await here.runtime.attach(container, stdin=True)
        await session.write_stdin(b"words\n")
        out = b""
        while data := await session.read_stdout():
            out += data
        assert out == b"got words\n"
        assert await session.wait() == 6
        await session.close()

    world(scenario)


@pytest.mark.needs("processes")
def test_port_forward_reaches_the_loopback(world: Hold) -> None:
    """A stream to a port arrives at what listens on the sandbox's loopback; a closed port is told."""

    async def scenario(here: World) -> None:
        sandbox, container = await here.started(command=("httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/www"))
        stream = None
        for _ in range(100):
            try:
                stream = await here.runtime.port_forward(sandbox.id, 8080)
                break
            except RuntimeFailure:
                await asyncio.sleep(0.05)
        assert stream is not None
        await stream.write(b"GET /index.html HTTP/1.0\r\n\r\n")
        page = b""
        while data := await stream.read():
            page += data
        assert b"A Pod of Podling says hello." in page
        await stream.close()
        with pytest.raises(RuntimeFailure, match="8081"):
            await here.runtime.port_forward(sandbox.id, 8081)
        await here.runtime.stop_container(container, 0)

    world(scenario)


@pytest.mark.needs("processes")
def test_the_kernel_kills_what_takes_too_much_memory(world: Hold) -> None:
    """A program beyond its memory limit ends with 137, told as killed for want of memory."""

    async def scenario(here: World) -> None:
        _, container = await here.started(
            command=("sh", "-c", "x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 100"),
            resources=Resources(memory_limit=20 << 20),
        )
        ended = await here.ended(container)
        assert ended.oom_killed
        assert ended.exit_code not in {None, 0}

    world(scenario)


@pytest.mark.needs("processes")
def test_limits_can_be_changed_while_it_runs(world: Hold) -> None:
    """`update_resources` reaches the running container's group."""

    async def scenario(here: World) -> None:
        _, container = await here.started(resources=Resources(memory_limit=20 << 20))
        await here.runtime.update_resources(container, Resources(memory_limit=64 << 20, cpu_shares=200))
        found = await here.runtime.container(container)
        assert found is not None
        assert found.resources.memory_limit == 64 << 20
        stats = {each.container: each for each in await here.runtime.stats()}
        assert stats[container].pids >= 1
        assert stats[container].memory_usage > 0

    world(scenario)


@pytest.mark.needs("processes")
def test_an_end_while_podling_was_away_is_told_truly(world: Hold) -> None:
    """What ended while nobody looked has its own exit code and the instant at which it ended."""

    async def scenario(here: World) -> None:
        _, container = await here.started(Behaviour(exits=42, after=0.3))
        await here.runtime.close()
        await asyncio.sleep(1.0)
        await here.die_and_return()
        ended = await here.ended(container)
        assert ended.exit_code == 42
        assert ended.started is not None
        assert ended.finished is not None
        assert ended.finished - ended.started < 0.9

    world(scenario)
