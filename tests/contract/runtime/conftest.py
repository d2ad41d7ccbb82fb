"""Opens one world per test, and takes it down whatever happened in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.contract.runtime.worlds import REAL, WORLDS, World


@pytest.fixture(scope="session")
def busybox_image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """An archive with one image, built from the host's busybox when it is first asked for."""
    path = tmp_path_factory.mktemp("image") / "busybox.tar"

    def build() -> Path:
        from podling.runtime.oci.images.build import build_busybox

        if not path.exists():
            if not Path("/bin/busybox").exists():
                pytest.skip("/bin/busybox is missing (apt-get install busybox-static)")
            build_busybox(path)
        return path

    return build


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.root if name in REAL else ()) for name in WORLDS])
def world(
    request: pytest.FixtureRequest, tmp_path: Path, busybox_image: Callable[[], Path]
) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    """Return a function that runs a scenario in a fresh world; `lacks` skips what the world cannot do."""
    kind = WORLDS[request.param]
    for marker in request.node.iter_markers("needs"):
        if marker.args[0] in kind.lacks:
            pytest.skip(f"the world {request.param!r} has no {marker.args[0]}")

    def hold(scenario: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            here = kind(tmp_path, busybox_image)
            try:
                await here.open()
                await scenario(here)
            finally:
                await here.close()

        asyncio.run(main())

    return hold
