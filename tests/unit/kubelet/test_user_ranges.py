"""Ranges of ids for Pods with a user namespace of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.types.core_v1 import Pod, PodSpec
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.user_ranges import LENGTH, NoRange, UserRanges, free_range
from podling.runtime.protocol import IdMapping


def pod(uid: str, host_users: bool | None = False) -> Pod:
    return Pod(metadata=ObjectMeta(name=uid, uid=uid), spec=PodSpec(containers=(), host_users=host_users))


@given(st.sets(st.integers(1, 40)), st.integers(1, 65534))
def test_a_range_is_nobody_elses_and_not_the_nodes(taken, start):
    """Whatever is taken, wherever one starts to look."""
    number = free_range(taken, start)
    assert number not in taken
    assert 1 <= number < 65535


def test_the_search_goes_round_and_ends():
    """After the last range comes the first; where all are taken there is none."""
    assert free_range({65534}, 65534) == 1
    with pytest.raises(NoRange, match="could not find an empty slot"):
        free_range(set(range(1, 65535)), 7)


def test_pods_that_share_the_nodes_users_have_no_range(tmp_path: Path):
    """`hostUsers` unset or true changes nothing, and nothing is written."""
    ranges = UserRanges(tmp_path)
    assert ranges.mappings(pod("a", None)) == ranges.mappings(pod("a", True)) == ()
    assert not list(tmp_path.iterdir())


def test_a_pod_keeps_its_range_over_restarts_and_gives_it_back(tmp_path: Path):
    """What is on disk is found again, in upstream's form; a folder that is gone holds nothing."""
    first = UserRanges(tmp_path)
    held = {uid: first.mappings(pod(uid)) for uid in ("a", "b", "c")}
    assert len({mapping.host for (mapping,) in held.values()}) == 3
    (mapping,) = held["a"]
    assert mapping == IdMapping(0, mapping.host, LENGTH)
    assert (mapping.host % LENGTH, mapping.host >= LENGTH) == (0, True)
    record = json.loads((tmp_path / "a" / "userns").read_text())
    assert record["gidMappings"] == [{"hostId": mapping.host, "containerId": 0, "length": LENGTH}]
    again = UserRanges(tmp_path)
    assert again.mappings(pod("d")) not in held.values()
    assert {uid: again.mappings(pod(uid)) for uid in held} == held
    again.release("a")
    (tmp_path / "a" / "userns").unlink()
    assert again.mappings(pod("e")) == held["a"]


def test_records_that_make_no_sense_are_passed_over(tmp_path: Path):
    """A spoilt file keeps no Pod from starting."""
    for number, text in enumerate(("{", "[]", "{}", '{"uidMappings": [{}]}')):
        (tmp_path / f"p{number}").mkdir()
        (tmp_path / f"p{number}" / "userns").write_text(text)
    assert UserRanges(tmp_path).mappings(pod("a"))
