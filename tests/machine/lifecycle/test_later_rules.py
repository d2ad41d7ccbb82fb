"""Rules of a running Pod: resize, condemned instances, hooks that hold up, the room for last words."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podling.api.types.core_v1 import (
    Container,
    ContainerResizePolicy,
    Lifecycle,
    LifecycleHandler,
    ResourceRequirements,
    SleepAction,
)
from podling.lifecycle import actions as act
from podling.lifecycle.cgroups import limits_of
from podling.lifecycle.facts import ContainerFacts, ProbeFacts, Rejection
from podling.lifecycle.pod import plan
from podling.lifecycle.resize import needs_restart, resize_conditions
from podling.lifecycle.restart import BackOff, restart_at
from tests.machine.lifecycle.world import World, pod

SLEEP = LifecycleHandler(sleep=SleepAction(seconds=5))


def asks(cpu: str, memory: str = "64Mi", *policies: tuple[str, str]) -> Container:
    amounts = {"cpu": cpu, "memory": memory}
    return Container(
        name="web",
        resources=ResourceRequirements(requests=amounts, limits=amounts),
        resize_policy=tuple(ContainerResizePolicy(resource_name=n, restart_policy=p) for n, p in policies),
    )


def running(container: Container) -> ContainerFacts:
    return ContainerFacts("c1", "web", 0, "s1", 1.0, started=1.0, limits=limits_of(container.resources))


@pytest.mark.parametrize(
    ("after", "policies", "restarts"),
    [
        (("2", "64Mi"), (("cpu", "RestartContainer"),), True),
        (("1", "128Mi"), (("cpu", "RestartContainer"),), False),
        (("2", "128Mi"), (("memory", "RestartContainer"),), True),
        (("2", "128Mi"), (), False),
        (("1", "64Mi"), (("cpu", "RestartContainer"), ("memory", "RestartContainer")), False),
    ],
)
def test_which_resize_restarts(after, policies, restarts):
    """Only a change of a resource whose policy asks for it."""
    assert needs_restart(asks(*after, *policies), running(asks("1"))) is restarts


def test_a_resize_is_planned_once_and_never_against_the_node():
    """Planned while it differs, not while it is under way, not while the node refuses; the conditions say which."""
    world = World(pod(asks("2")))
    world.settle()
    (instance,) = world.view.containers
    world.view = replace(world.view, containers=(replace(instance, limits=limits_of(asks("1").resources)),))
    (action,) = world.look().actions
    assert action == act.ResizeContainer("web", instance.id, instance.sandbox)
    assert world.look().actions == ()
    assert [c.type for c in resize_conditions(world.view)] == ["PodResizeInProgress"]
    refused = replace(world.view, busy={}, resize_refusal=Rejection("Deferred", "full"))
    assert plan(refused, world.now).actions == ()
    assert plan(refused, world.now).deadline == world.now + 10
    assert [(c.type, c.reason) for c in resize_conditions(refused)] == [("PodResizePending", "Deferred")]


def test_a_condemned_instance_is_killed_once_with_its_probes_grace():
    """One kill however often the plan is made; its successor does not wait, whatever the exit code."""
    world = World(pod(restart="OnFailure"))
    world.settle()
    (instance,) = world.view.containers
    world.view = replace(world.view, probes={instance.id: ProbeFacts(True, True, "Liveness")})
    (kill,) = world.look().actions
    assert (kill.message, kill.deadline) == ("Container web failed liveness probe, will be restarted", world.now + 30)
    world.wait(3)
    assert world.look().actions == ()
    world.perform()
    world._change(instance.id, exit_code=0)
    assert [type(action) for action in world.look().actions] == [act.EnsureImage]


@pytest.mark.parametrize(("between", "at"), [(5.0, 120.0), (20.0, 100.0), (None, 120.0)])
def test_from_when_a_condemned_instance_waits(between, at):
    """The back-off counts from the death before, for those that a probe condemned; for others from their own."""
    dead = ContainerFacts("c", "web", 2, "s", 80.0, started=80.0, finished=100.0, back_off=20.0)
    assert restart_at(dead, BackOff(), between) == at


def test_a_hook_holds_up_the_containers_behind_it():
    """While the first is on its way or in its hook nothing behind it is begun; when it is over everything is."""
    first = Container(name="first", image="i", lifecycle=Lifecycle(post_start=SLEEP))
    world = World(pod(first, Container(name="second", image="i")))
    for _ in range(20):
        world.look()
        if any(isinstance(action, act.StartContainer) for action in world.pending.values()):
            break
        world.perform()
    assert [c.name for c in world.view.containers] == ["first"]
    world._change("c2" if world.view.containers[0].id == "c2" else world.view.containers[0].id, started=world.now)
    assert not [a for a in world.look().actions if getattr(a, "container", "") == "second"]
    told = world.view.pod.status.container_statuses[0]
    assert told.state.waiting.reason == "ContainerCreating"
    world.pending.clear()
    world._busy()
    assert [a.container for a in world.look().actions] == ["second"]


def test_hooks_of_sidecars_run_while_main_containers_end():
    """RunPreStop for a sidecar beside the main container's kill; its own kill comes after, and only once each."""
    side = Container(name="side", image="i", restart_policy="Always", lifecycle=Lifecycle(pre_stop=SLEEP))
    world = World(pod(init=(side,)))
    world.settle()
    world.delete()
    planned = {type(action).__name__: action.container for action in world.look().actions}
    assert planned == {"KillContainer": "web", "RunPreStop": "side"}
    assert world.look().actions == ()
    side_id = next(c.id for c in world.view.containers if c.name == "side")
    world.view = replace(world.view, pre_stopped=(side_id,))
    world.perform(f"kill/{next(c.id for c in world.view.containers if c.name == 'web')}")
    assert [(type(a).__name__, a.container) for a in world.look().actions] == [("KillContainer", "side")]


def test_last_words_share_12_kib():
    """A container's message is cut so that those of all containers fit into what upstream gives a Pod."""
    world = World(pod(*(Container(name=f"c{n}", image="i") for n in range(6)), restart="Never"))
    world.settle()
    for instance in world.view.containers:
        world._change(instance.id, finished=world.now, exit_code=1, message="x" * 4096)
    world.look()
    assert {len(s.state.terminated.message) for s in world.view.pod.status.container_statuses} == {2048}
