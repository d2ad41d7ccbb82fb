"""The tables of two families in a real kernel, kept equal to one index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podling.aio.clock import SystemClock
from podling.linux import namespaces
from podling.linux.families import FAMILIES
from podling.linux.nf_tables import Batch, Tables
from podling.network.policy.rules import PolicyRules, table_name
from podling.network.policy.tables import PolicyTables
from podling.reach.policy import Direction, Party
from podling.reach.policy_index import PolicyIndex
from tests.machine.reach.test_policy import compiled

pytestmark = pytest.mark.root

KEY = ("one", "p")
FROM_A: dict[str, Any] = {"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]}]}


@pytest.fixture
def space(tmp_path: Path) -> Iterator[str]:
    """A network namespace of the test's own."""
    namespaces.create(tmp_path / "ns", ("net",), sysctls={})
    yield str(tmp_path / "ns" / "net")
    namespaces.release(tmp_path / "ns")


def pod(number: int) -> Party:
    return Party(f"10.0.0.{number}", f"x{number}", "one", (("app", "a"),), (), "there", (f"fd00::{number}",))


def peers(space: str, rules: PolicyRules) -> set[bytes]:
    """Return who stands as a peer in the one rule of the one policy."""
    tables = Tables(space)
    try:
        name = f"policy-{rules._numbers[KEY]}-{Direction.INGRESS.lower()}-0-peers"
        return {element.key for element in tables.elements(rules.table, name)}
    finally:
        tables.close()


def test_what_changes_while_it_is_written_stands_in_both_tables_or_none(space: str) -> None:
    """Each family's table is made of what the index knew at one moment, though one is written after the other.

    A Pod that comes between the two and goes again is told of to neither, so neither may have it.
    """

    async def main() -> None:
        index = PolicyIndex()
        context: Any = SimpleNamespace(instance="t", host=SimpleNamespace(network_namespace=space), clock=SystemClock())
        written: list[str] = []
        tables = PolicyTables(context, index, lambda: None)
        both = [PolicyRules("t", "here", index, None, family) for family in FAMILIES]
        await tables.start(both)
        commit = tables._commit

        async def slow(batch: Batch) -> None:
            await commit(batch)
            written.append(batch.table)
            if len(written) == 1:
                index.set_pod(("one", "x2"), pod(2))

        tables._commit = slow  # type: ignore[method-assign]
        index.set_pod(("one", "x1"), pod(1))
        index.set_policy(KEY, compiled(KEY, FROM_A))
        await tables.flush()
        index.set_pod(("one", "x2"), None)
        await tables.flush()
        assert written[:2] == [table_name("t", family) for family in FAMILIES]
        for rules, family, address in zip(both, FAMILIES, pod(1).addresses, strict=True):
            assert peers(space, rules) == {family.packed(address)}
        tables.close()

    asyncio.run(main())


def test_what_the_kernel_refused_is_tried_again_by_itself(space: str) -> None:
    """Whole tables too: who follows begins anew after a failure, and nothing else need change for it to go on."""

    async def main() -> None:
        index = PolicyIndex()
        context: Any = SimpleNamespace(instance="t", host=SimpleNamespace(network_namespace=space), clock=SystemClock())
        tables = PolicyTables(context, index, lambda: None)
        both = [PolicyRules("t", "here", index, None, family) for family in FAMILIES]
        await tables.start(both)
        commit, refusals = tables._commit, 2

        async def refusing(batch: Batch) -> None:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise OSError("no room")
            await commit(batch)

        tables._commit = refusing  # type: ignore[method-assign]
        index.set_pod(("one", "x1"), pod(1))
        index.set_policy(KEY, compiled(KEY, FROM_A))
        tables.wake()
        with pytest.raises(OSError, match="no room"):  # the change, and then all anew
            await tables.run()
        again = asyncio.create_task(tables.run())
        for _ in range(100):
            await asyncio.sleep(0.01)
            if peers(space, both[0]):
                break
        for rules, family, address in zip(both, FAMILIES, pod(1).addresses, strict=True):
            assert peers(space, rules) == {family.packed(address)}
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
        tables.close()

    asyncio.run(main())
