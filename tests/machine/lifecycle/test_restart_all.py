"""RestartAllContainers: when a Pod is set back, what is forgotten, and what it is told as meanwhile."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podling.api.types.core_v1 import Container, ContainerRestartRule, ContainerRestartRuleOnExitCodes
from podling.lifecycle import actions as act
from podling.lifecycle.restart import action_on_exit
from podling.lifecycle.restart_all import ALL_RESTARTING
from tests.machine.lifecycle.world import World, pod


def rule(action: str, *codes: int, operator: str = "In") -> ContainerRestartRule:
    return ContainerRestartRule(
        action=action, exit_codes=ContainerRestartRuleOnExitCodes(operator=operator, values=codes)
    )


INIT = Container(name="setup", image="setup")
WATCHER = Container(
    name="watcher", image="watcher", restart_policy="Always", restart_policy_rules=(rule("RestartAllContainers", 88),)
)
WORKER = Container(name="worker", image="worker")
DONE = Container(name="done", image="done")


def restarting(world: World) -> tuple[str, str]:
    (told,) = [c for c in world.view.pod.status.conditions if c.type == ALL_RESTARTING]
    return told.status, told.reason


def attempts(world: World) -> dict[str, int]:
    return {c.name: c.attempt for c in world.view.containers}


def test_the_pod_begins_anew_where_it_is():
    """Init containers run again, ended ones too, whatever the policy; counts grow, sandbox, phase and volumes stay."""
    world = World(pod(WORKER, DONE, init=(INIT, WATCHER), restart="Never"))
    world.settle()
    world.exits("setup")
    world.settle()
    assert restarting(world) == ("False", "")
    world.exits("done")
    world.settle()
    sandbox = world.view.sandbox
    world.wait(5)
    world.exits("watcher", 88)
    world.look()
    assert restarting(world) == ("True", "RestartAllContainersStarted")
    assert [(a.container, a.deadline) for a in world.plan.actions] == [("worker", world.now)]
    assert world.view.pod.status.phase == "Running"
    world.settle()
    assert restarting(world) == ("False", "")
    assert attempts(world) == {"setup": 1}
    assert world.view.pod.status.phase == "Running"
    world.exits("setup")
    world.settle()
    assert attempts(world) == {"setup": 1, "watcher": 1, "worker": 1, "done": 1}
    assert all(world.status(name).restart_count == 1 for name in attempts(world))
    assert world.status("worker").last_state.terminated.exit_code == 137
    assert world.view.sandbox == sandbox
    world.exits("worker")
    world.exits("done")
    world.settle()
    assert world.view.pod.status.phase == "Succeeded"
    assert restarting(world) == ("False", "PodCompleted")


def test_what_began_is_gone_through_with_by_a_kubelet_that_comes_back():
    """The condition is in the API, and the instance that asked is forgotten last."""
    world = World(pod(WORKER, init=(WATCHER,)))
    world.settle()
    world.wait(5)
    world.exits("watcher", 88)
    world.look()
    world.pending.clear()
    world.view = replace(world.view, busy={}, images={}, volumes_ready=False)
    removed = []
    for _ in range(3):
        world.look()
        removed += [a.container for a in world.plan.actions if isinstance(a, act.RemoveContainer)]
        world.perform()
    assert removed == ["worker", "watcher"]
    world.settle()
    assert attempts(world) == {"watcher": 1, "worker": 1}


def test_a_container_that_asks_at_once_again_waits_a_second():
    """There is no back-off, but a round lasts a second at the least."""
    world = World(pod(Container(name="web", image="web", restart_policy_rules=(rule("RestartAllContainers", 3),))))
    world.settle()
    for count in range(1, 4):
        world.exits("web", 3)
        world.settle()
        assert world.plan.deadline == world.now + 1
        assert restarting(world)[0] == "True"
        world.wait(1)
        world.settle()
        assert world.status("web").restart_count == count


def test_a_pod_that_ends_is_not_set_back():
    """Neither one that is deleted nor one whose main containers are done, whatever its sidecars exit with."""
    deleted = World(pod(WORKER, init=(WATCHER,)))
    deleted.settle()
    deleted.delete()
    deleted.look()
    deleted.exits("watcher", 88)
    deleted.settle()
    assert deleted.gone or deleted.view.torn_down
    done = World(pod(WORKER, init=(WATCHER,), restart="Never"))
    done.settle()
    done.exits("worker")
    done.look()
    done.exits("watcher", 88)
    done.settle()
    assert done.view.pod.status.phase == "Succeeded"


def test_a_pod_without_such_a_rule_has_no_such_condition():
    world = World(pod(WORKER))
    world.settle()
    assert ALL_RESTARTING not in [c.type for c in world.view.pod.status.conditions]


@pytest.mark.parametrize(
    ("rules", "code", "action"),
    [
        ((rule("Restart", 1, 2),), 2, "Restart"),
        ((rule("Restart", 1, 2),), 3, ""),
        ((rule("RestartAllContainers", 0, operator="NotIn"), rule("Restart", 7)), 7, "RestartAllContainers"),
        ((rule("RestartAllContainers", 0, operator="NotIn"), rule("Restart", 0)), 0, "Restart"),
        ((), 1, ""),
    ],
)
def test_the_first_rule_that_is_about_a_code_decides(rules, code, action):
    assert action_on_exit(Container(name="a", restart_policy_rules=rules), code) == action
