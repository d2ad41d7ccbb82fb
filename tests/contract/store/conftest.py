"""The stores that the contract is held against."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from podling.aio.clock import SystemClock
from podling.store import History, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture(params=["memory", "sqlite"])
def spec(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def hold(spec: str, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario against a fresh store, which is closed afterwards."""

    def run(scenario: Callable[[Store], Awaitable[None]], history: History | None = None) -> None:
        async def main() -> None:
            store = open_store(spec, tmp_path, SystemClock(), history=history)
            try:
                await asyncio.wait_for(scenario(store), 60)
            finally:
                await store.close()

        asyncio.run(main())

    return run
