"""The pytest fixtures that come with Podling.

Owns `podling_cluster`. Loads nothing of Podling until a test asks for it: pytest imports this module at each start,
wherever Podling is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from podling.testing import BlockingCluster


@pytest.fixture
def podling_cluster() -> Iterator[Callable[..., BlockingCluster]]:
    """Return a factory of simulated clusters: `podling_cluster(nodes=3, seed=1, …)`, as `SimulatedCluster` takes them.

    Each is gone when the test ends. No asyncio plugin is needed: a test is a plain function.
    """
    from contextlib import ExitStack

    from podling.testing import BlockingCluster, SimulatedCluster

    with ExitStack() as clusters:

        def make(nodes: int = 1, seed: int = 1, **options: Any) -> BlockingCluster:
            return clusters.enter_context(BlockingCluster(SimulatedCluster(nodes, seed, **options)))

        yield make
