"""Taking everything away: in an order in which nothing that is left is another cluster's."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from podling.cluster.data_dir import DataDir
from podling.cluster.teardown import remove_all
from podling.linux.families import FAMILIES
from podling.linux.nf_tables import Tables
from podling.network import podnetwork
from podling.network.policy.rules import PolicyRules, table_name
from podling.reach.policy_index import PolicyIndex

pytestmark = pytest.mark.root


def test_policies_go_before_their_addresses_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another cluster on the machine may take the addresses at once, and its Pods are not isolated by what is left."""
    data = DataDir(tmp_path)
    left: list[bool] = []

    async def freed(path: Path, instance: str) -> None:
        del path
        left.extend(tables.has_table(table_name(instance, family)) for family in FAMILIES)

    monkeypatch.setattr(podnetwork, "teardown", freed)
    with contextlib.closing(Tables()) as tables:
        for family in FAMILIES:
            tables.commit(PolicyRules(data.instance, "here", PolicyIndex(), None, family).whole())
        remove_all(data)
        assert left == [False, False]
        assert not any(tables.has_table(table_name(data.instance, family)) for family in FAMILIES)
