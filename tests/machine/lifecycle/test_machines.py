"""The tables: every cell of every machine's grid is an edge, ignored, or an error that changes nothing."""

from __future__ import annotations

import pytest

from podling.lifecycle.container import CONTAINER, Event, Stage
from podling.lifecycle.machine import IGNORED, ImpossibleEvent, Machine
from podling.lifecycle.stages import POD, PodEvent, PodStage

MACHINES = [(CONTAINER, Stage, Event), (POD, PodStage, PodEvent)]
GRID = [(machine, state, event) for machine, states, events in MACHINES for state in states for event in events]


@pytest.mark.parametrize(("machine", "state", "event"), GRID, ids=lambda value: getattr(value, "name", "?"))
def test_every_cell_is_an_edge_or_ignored_or_an_error(machine, state, event):
    """A step goes where the table says, stays where it says so, and raises where it says nothing."""
    cell = machine.table[state].get(event)
    if cell is None:
        with pytest.raises(ImpossibleEvent):
            machine.step(state, event)
        assert not machine.allows(state, event)
    elif cell is IGNORED:
        assert machine.step(state, event) is state
        assert not machine.allows(state, event)
    else:
        assert machine.step(state, event) is cell
        assert cell is not state


def test_nothing_leads_back_to_a_start():
    """An instance can be started at most once: START leaves CREATED alone, and CREATED comes from CREATING alone."""
    assert [source for source, event, _ in CONTAINER.edges() if event is Event.START] == [Stage.CREATED]
    assert [source for source, _, target in CONTAINER.edges() if target is Stage.CREATED] == [Stage.CREATING]


def test_what_has_exited_never_runs_again():
    """From EXITED an instance can only be removed."""
    assert [target for source, _, target in CONTAINER.edges() if source is Stage.EXITED] == [Stage.REMOVED]


def test_final_phases_are_left_only_by_deletion():
    """Succeeded, Failed and Evicted lead to Terminating and gone, nowhere else."""
    for stage in (PodStage.SUCCEEDED, PodStage.FAILED, PodStage.EVICTED):
        assert {target for source, _, target in POD.edges() if source is stage} == {
            PodStage.TERMINATING,
            PodStage.GONE,
        }


@pytest.mark.parametrize("machine", [CONTAINER, POD], ids=lambda machine: machine.name)
def test_every_state_can_be_reached(machine):
    """No row of a table is dead."""
    reached = {machine.initial}
    for _ in machine.table:
        reached |= {target for source, _, target in machine.edges() if source in reached}
    assert reached == set(machine.table)


def test_a_machine_must_name_every_state():
    """A table with a missing row is refused at once."""
    with pytest.raises(ValueError, match="no row for REMOVED"):
        Machine("holed", Stage.WAITING, {s: {} for s in Stage if s is not Stage.REMOVED})


def test_diagram_shows_each_edge():
    """The documentation's diagram is the table."""
    diagram = CONTAINER.mermaid()
    assert diagram.startswith("stateDiagram-v2\n    [*] --> WAITING\n")
    assert "    RUNNING --> EXITED: DIED\n" in diagram
    assert "    REMOVED --> [*]\n" in diagram
    assert diagram.count(": ") == len(list(CONTAINER.edges()))
