"""What every test stands on: a loop that fails on leaked tasks, a virtual clock, a seeded chance."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import hypothesis
import pytest

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock

hypothesis.settings.register_profile("podling", deadline=None)  # no test depends on how fast the machine is
hypothesis.settings.load_profile("podling")

_Result = TypeVar("_Result")


def _run_and_check(work: Coroutine[Any, Any, _Result]) -> _Result:
    async def main() -> _Result:
        result = await work
        await asyncio.sleep(0)
        leaked = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not leaked, f"tasks left behind: {[task.get_name() for task in leaked]}"
        return result

    result = asyncio.run(main())
    gc.collect()
    return result


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, _Result]], _Result]:
    """Run a coroutine to its end on a fresh loop; a task that outlives it fails the test."""
    return _run_and_check


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def chance() -> Chance:
    return Chance(seed=1)


def missing_for_containers() -> str:
    """Say what this machine lacks for real containers; empty if nothing."""
    if os.geteuid() != 0:
        return "real containers need root"
    for program in ("conmon", "nft"):
        if shutil.which(program) is None:
            return f"{program} is not installed (make test installs it where it may)"
    if shutil.which("runc") is None and shutil.which("crun") is None:
        return "neither crun nor runc is installed (make test installs one where it may)"
    return ""


def pytest_collection_finish() -> None:
    """Set aside what is loaded by now: whoever looks for what a test left behind need not walk it each time."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = missing_for_containers()
    if why:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason=why))
