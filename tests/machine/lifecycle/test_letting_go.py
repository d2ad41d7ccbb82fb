"""When a deleted Pod is told to stop: after its Services have let it go, within bounds."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from podling.api.types.core_v1 import Container, ExecAction, Lifecycle, LifecycleHandler
from podling.lifecycle import actions as act
from podling.lifecycle.letting_go import Hold, stop_at
from podling.lifecycle.restart import UPSTREAM
from tests.machine.lifecycle.world import World, pod


def deleted(hold, *, grace=30, wanted=None):
    world = World(wanted or pod())
    world.settle()
    world.delete(grace)
    world.view = replace(world.view, hold=hold)
    world.look()
    return world


def stops(world):
    return [a for a in world.plan.actions if isinstance(a, act.KillContainer)]


@pytest.mark.parametrize(
    ("hold", "grace", "seconds"),
    [
        (None, 30, 0),  # no Service, or none in which others take over
        (Hold(True, 7, ()), 30, 0),  # no proxy
        (Hold(True, 7, (7,)), 30, 1),  # offered yet
        (Hold(False, 7, (7, 6)), 30, 1),  # one proxy has not followed yet
        (Hold(False, 7, (7, 9), 1000.0), 30, 0.2),  # let go: what was sent before is answered
        (Hold(False, 7, (7,), 999.9), 30, 0.1),
        (Hold(False, 7, (7,), 990.0), 30, 0),
        (Hold(True, 7, (0,)), 1, 0.5),  # half of the grace is the Pod's
        (Hold(True, 7, (0,)), 0, 0.5),  # never less than a second, as upstream
    ],
)
def test_how_long_it_waits(hold, grace, seconds):
    """Not at all where nothing is gained, at most a second and half the grace, a little once it is let go."""
    world = deleted(hold, grace=grace)
    assert max(stop_at(world.view, world.now, UPSTREAM), world.now) == pytest.approx(1000 + seconds)
    if seconds:
        assert not stops(world)
        assert world.plan.deadline == pytest.approx(1000 + seconds)
        world.wait(seconds)
        world.look()
    [stop] = stops(world)
    assert stop.deadline == 1000 + max(grace, 1)


def test_once_it_is_being_stopped_nothing_holds_it():
    """A word that comes after SIGTERM changes nothing."""
    world = deleted(None)
    [stop] = stops(world)
    world.view = replace(world.view, hold=Hold(True, 9, (0,)))
    world.look()
    assert world.pending[stop.key] is stop
    assert not world.plan.actions


def test_its_pre_stop_hook_runs_meanwhile():
    """The hook begins with the deletion; SIGTERM follows when both are over."""
    hook = Lifecycle(pre_stop=LifecycleHandler(exec=ExecAction(command=("true",))))
    hooked = pod(Container(name="web", image="busybox", lifecycle=hook))
    world = deleted(Hold(True, 7, (0,)), wanted=hooked)
    assert [type(a).__name__ for a in world.plan.actions] == ["RunPreStop"]
    world.wait(1)
    world.look()
    assert len(stops(world)) == 1


def test_other_ends_do_not_wait():
    """What fails or is evicted is no answer to anybody's deletion."""
    world = World(pod())
    world.settle()
    world.view = replace(world.view, hold=Hold(True, 7, (0,)), vanished=True)
    world.look()
    assert len(stops(world)) == 1


def test_zero_is_upstream():
    """Told not to wait, nothing does."""
    world = deleted(Hold(True, 7, (0,)))
    assert stop_at(world.view, world.now, dataclasses.replace(UPSTREAM, let_go=0.0)) == world.now
