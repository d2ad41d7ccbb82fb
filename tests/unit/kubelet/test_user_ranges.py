"""Ranges of ids for Pods with a user namespace of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.types.core_v1 import Pod, PodSpec
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.user_ranges import LENGTH, NoRange, UserRanges, free_range, let_go
from podling.runtime.protocol import IdMapping


def pod(uid: str, host_users: bool | None = False) -> Pod:
    return Pod(metadata=ObjectMeta(name=uid, uid=uid), spec=PodSpec(containers=(), host_users=host_users))


MAKE = """
import sys
from pathlib import Path
from podling.kubelet.user_ranges import UserRanges
from tests.unit.kubelet.test_user_ranges import pod
ranges = UserRanges(Path(sys.argv[1]), Path(sys.argv[2]))
ranges._start = 65500
print(*(ranges.mappings(pod(f"{number}"))[0].host for number in range(40)))
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return tmp_path / "machine"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pods").mkdir()
    return tmp_path / "pods"


@given(st.sets(st.integers(1, 40)), st.integers(1, 65534))
def test_a_range_is_nobody_elses_and_not_the_nodes(taken, start):
    """Whatever is taken, wherever one starts to look."""
    number = free_range(lambda wanted: wanted not in taken, start)
    assert number not in taken
    assert 1 <= number < 65535


def test_the_search_goes_round_and_ends():
    """After the last range comes the first; where all are taken there is none."""
    assert free_range(lambda number: number != 65534, 65534) == 1
    with pytest.raises(NoRange, match="could not find an empty slot"):
        free_range(lambda _: False, 7)


def test_pods_that_share_the_nodes_users_have_no_range(root: Path, machine: Path):
    """`hostUsers` unset or true changes nothing, and nothing is written."""
    ranges = UserRanges(root, machine)
    assert ranges.mappings(pod("a", None)) == ranges.mappings(pod("a", True)) == ()
    assert not list(root.iterdir())
    assert not machine.exists()


def test_a_pod_keeps_its_range_over_restarts_and_gives_it_back(root: Path, machine: Path):
    """What is on disk is found again, in upstream's form; a folder that is gone holds nothing."""
    first = UserRanges(root, machine)
    held = {uid: first.mappings(pod(uid)) for uid in ("a", "b", "c")}
    assert len({mapping.host for (mapping,) in held.values()}) == 3
    (mapping,) = held["a"]
    assert mapping == IdMapping(0, mapping.host, LENGTH)
    assert (mapping.host % LENGTH, mapping.host >= LENGTH) == (0, True)
    record = json.loads((root / "a" / "userns").read_text())
    assert record["gidMappings"] == [{"hostId": mapping.host, "containerId": 0, "length": LENGTH}]
    again = UserRanges(root, machine)
    assert again.mappings(pod("d")) not in held.values()
    assert {uid: again.mappings(pod(uid)) for uid in held} == held
    again.release("a")
    (root / "a" / "userns").unlink()
    assert again.mappings(pod("e")) == held["a"]


def test_nodes_of_a_machine_have_no_ids_in_common(tmp_path: Path, machine: Path):
    """Kubelets in processes of their own that all look from the same place on; the search goes round meanwhile."""
    processes = []
    for number in range(4):
        root = tmp_path / f"node-{number}"
        root.mkdir()
        words = [sys.executable, "-c", MAKE, str(root), str(machine)]
        processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]))
    given = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [len(each) for each in given] == [40] * 4
    assert len({host for each in given for host in each}) == 160


def test_what_nobody_has_any_more_is_free(tmp_path: Path, root: Path, machine: Path):
    """Also where a whole cluster was deleted and gave nothing back; what is taken down gives back at once."""

    def beside() -> UserRanges:
        other = UserRanges(tmp_path / "other" / "pods", machine)
        other._start = ranges._start
        return other

    ranges = UserRanges(root, machine)
    held = ranges.mappings(pod("a"))
    assert beside().mappings(pod("b")) != held
    shutil.rmtree(tmp_path / "other")
    again = beside()
    assert again.mappings(pod("c"))[0].host == held[0].host + LENGTH
    let_go(tmp_path / "other", machine)
    assert [link.readlink() for link in machine.iterdir()] == [root / "a"]
    ranges.release("a")
    assert not list(machine.iterdir())


def test_after_the_machine_was_down_the_first_who_comes_has_a_range(tmp_path: Path, root: Path, machine: Path):
    """Claims are gone then, with all processes; who finds its old range taken gets another."""
    before = UserRanges(root, machine)
    held = before.mappings(pod("a"))
    shutil.rmtree(machine)
    other = UserRanges(tmp_path / "other", machine)
    other._start = before._start
    assert other.mappings(pod("b")) == held
    after = UserRanges(root, machine).mappings(pod("a"))
    assert after != held
    assert UserRanges(root, machine).mappings(pod("a")) == after


def test_records_that_make_no_sense_are_passed_over(root: Path, machine: Path):
    """A spoilt file keeps no Pod from starting."""
    for number, text in enumerate(("{", "[]", "{}", '{"uidMappings": [{}]}')):
        (root / f"p{number}").mkdir()
        (root / f"p{number}" / "userns").write_text(text)
    assert UserRanges(root, machine).mappings(pod("a"))
