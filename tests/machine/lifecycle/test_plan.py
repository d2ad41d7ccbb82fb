"""What is due next for a Pod, and when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from podling.api.types.core_v1 import Container, ContainerRestartRule, ContainerRestartRuleOnExitCodes
from podling.lifecycle import actions as act
from podling.lifecycle.facts import ProbeFacts
from podling.lifecycle.termination import Cause
from tests.machine.lifecycle.world import World, pod

SIDECAR = Container(name="proxy", image="proxy", restart_policy="Always")
INIT = Container(name="setup", image="setup")
ALL_AT_3 = ContainerRestartRule(
    action="RestartAllContainers", exit_codes=ContainerRestartRuleOnExitCodes(operator="In", values=(3,))
)


def kinds(world: World) -> list[str]:
    return [type(action).__name__ for action in world.plan.actions]


def test_everything_a_start_needs_is_prepared_side_by_side():
    """Volumes, sandbox and image are due at once; creation waits for all three, in whatever order they come."""
    world = World(pod())
    world.look()
    assert kinds(world) == ["PrepareVolumes", "RunSandbox", "EnsureImage"]
    world.perform("image/web")
    world.look()
    world.perform("volumes")
    world.look()
    assert kinds(world) == []
    world.perform("sandbox")
    world.look()
    assert kinds(world) == ["CreateContainer"]
    world.perform()
    world.look()
    assert kinds(world) == ["StartContainer"]
    world.perform()
    world.look()
    assert world.view.pod.status.phase == "Running"
    assert world.status("web").ready
    assert world.plan.actions == ()
    assert world.plan.deadline is None


def test_crash_loop_waits_ten_seconds_doubling_to_five_minutes():
    """The first restart is at once, then 10 s, 20 s, … 300 s after each death."""
    world = World(pod())
    world.settle()
    waits = []
    for _ in range(9):
        world.wait(1)
        world.exits("web", 1)
        world.settle()
        died = world.now
        if world.status("web").state.running is None:
            assert world.status("web").state.waiting.reason == "CrashLoopBackOff"
            assert world.status("web").last_state.terminated.exit_code == 1
            world.wait(world.plan.deadline - world.now)
            world.settle()
        waits.append(world.now - died)
        assert world.status("web").state.running is not None
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert world.status("web").restart_count == 9
    assert world.view.pod.status.phase == "Running"


def test_back_off_begins_anew_after_ten_minutes_of_life():
    """A container that ran longer than ten minutes is restarted at once."""
    world = World(pod())
    world.settle()
    for _ in range(3):
        world.exits("web", 1)
        world.settle()
        if world.plan.deadline:
            world.wait(world.plan.deadline - world.now)
            world.settle()
    world.wait(601)
    world.exits("web", 1)
    world.settle()
    assert world.status("web").state.running is not None


def test_back_off_message_is_upstreams():
    """The waiting message names the delay as Go prints it, the container and the Pod."""
    world = World(pod())
    world.settle()
    world.exits("web", 1)
    world.settle()
    world.exits("web", 1)
    world.settle()
    assert (
        world.status("web").state.waiting.message == "back-off 10s restarting failed container=web pod=web_default(u1)"
    )


@pytest.mark.parametrize(
    ("restart", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded"), ("OnFailure", 3, "Running")],
)
def test_phase_follows_exit_code_and_restart_policy(restart, code, phase):
    """A Pod ends when no container of it will run again, and its sandbox is let go."""
    world = World(pod(restart=restart))
    world.settle()
    world.exits("web", code)
    world.settle()
    assert world.view.pod.status.phase == phase
    assert (world.view.sandbox is None) == (phase != "Running")


def test_init_containers_run_one_after_the_other_then_the_main_ones():
    """Each init container must succeed before the next; a sidecar must have started; then all main ones start."""
    world = World(pod(Container(name="a"), Container(name="b"), init=(INIT, SIDECAR)))
    world.settle()
    assert [c.name for c in world.view.containers] == ["setup"]
    assert world.view.pod.status.phase == "Pending"
    assert world.status("a").state.waiting.reason == "PodInitializing"
    world.exits("setup")
    world.settle()
    assert [c.name for c in world.view.containers] == ["setup", "proxy", "a", "b"]
    assert world.view.pod.status.phase == "Running"


def test_failed_init_container_is_retried_or_fails_the_pod():
    """Under Always an init container is retried with back-off; under Never the Pod fails and nothing else starts."""
    world = World(pod(init=(INIT,)))
    world.settle()
    world.exits("setup", 1)
    world.settle()
    assert world.status("setup").restart_count == 1
    never = World(pod(init=(INIT,), restart="Never"))
    never.settle()
    never.exits("setup", 1)
    never.settle()
    assert never.view.pod.status.phase == "Failed"
    assert never.status("web").state.waiting.reason == "PodInitializing"


def test_sidecars_end_after_the_main_containers_and_do_not_decide_the_phase():
    """When the main containers are done the sidecars are killed, and the phase is the main ones'."""
    world = World(pod(init=(SIDECAR,), restart="Never"))
    world.settle()
    world.exits("web")
    world.look()
    assert kinds(world) == ["KillContainer"]
    assert world.view.pod.status.phase == "Running"
    world.settle()
    assert world.view.pod.status.phase == "Succeeded"


def test_sidecar_is_restarted_even_under_never():
    """A sidecar has its own policy."""
    world = World(pod(init=(SIDECAR,), restart="Never"))
    world.settle()
    world.exits("proxy", 1)
    world.settle()
    assert world.status("proxy").restart_count == 1
    assert world.status("proxy").state.running is not None


def test_deletion_kills_main_containers_then_sidecars_then_releases():
    """SIGTERM goes to main containers first; the object goes when nothing runs and the network is let go."""
    world = World(pod(init=(SIDECAR,)))
    world.settle()
    world.delete(grace=5)
    world.look()
    assert [(a.container, a.deadline) for a in world.plan.actions] == [("web", 1005.0)]
    world.wait(2)
    world.perform()
    world.look()
    assert [(a.container, a.deadline) for a in world.plan.actions] == [("proxy", 1005.0)]
    world.perform()
    world.look()
    assert kinds(world) == ["StopSandbox"]
    world.perform()
    world.look()
    assert kinds(world) == ["DeleteFromApi"]
    assert world.view.pod.status.phase == "Failed"
    world.perform()
    world.settle()
    assert world.plan.done


def test_sidecars_end_in_the_reverse_of_their_order():
    """The sidecar that started last is killed first, each after the one before it is dead."""
    world = World(pod(init=(SIDECAR, Container(name="logger", image="logger", restart_policy="Always"))))
    world.settle()
    world.delete()
    killed = []
    for _ in range(3):
        world.look()
        killed += [action.container for action in world.plan.actions if isinstance(action, act.KillContainer)]
        world.perform()
    assert killed == ["web", "logger", "proxy"]


def test_restart_count_goes_on_where_the_runtime_has_forgotten():
    """With the runtime's containers gone, the next attempt follows the count that the API was told."""
    from msgspec.structs import replace

    world = World(pod())
    world.settle()
    for _ in range(3):
        world.exits("web", 1)
        world.settle()
        world.wait(400)
        world.settle()
    assert world.status("web").restart_count == 3
    world.view = replace(world.view, containers=())
    world.settle()
    assert world.view.latest("web").attempt == 4
    assert world.status("web").restart_count == 4


@pytest.mark.parametrize(("final", "code"), [("Succeeded", 1), ("Failed", 0)])
def test_a_final_phase_stays_whatever_the_facts_say(final, code):
    """A phase that the API has as final is kept though the containers ended otherwise."""
    import msgspec
    from msgspec.structs import replace

    world = World(pod(restart="Never"))
    world.settle()
    world.exits("web", code)
    status = msgspec.structs.replace(world.view.pod.status, phase=final)
    world.view = replace(world.view, pod=msgspec.structs.replace(world.view.pod, status=status))
    world.settle()
    assert world.view.pod.status.phase == final


def test_shorter_grace_overtakes_a_kill_under_way():
    """A second deletion may shorten the grace, never lengthen it."""
    world = World(pod())
    world.settle()
    world.delete(grace=30)
    world.look()
    world.delete(grace=60)
    assert world.look().actions == ()
    world.delete(grace=2)
    world.look()
    assert [a.deadline for a in world.plan.actions] == [1002.0]


def test_deletion_before_anything_runs_is_immediate():
    """A Pod that has nothing on the node is released at once; a pull under way is given up."""
    world = World(pod())
    world.look()
    world.perform("sandbox")
    world.perform("volumes")
    world.delete()
    world.look()
    assert [a.of for a in world.plan.actions if isinstance(a, act.Abandon)] == ["image/web"]
    world.settle()
    assert world.plan.done
    assert not world.view.containers


def test_pod_deleted_while_a_container_is_being_created_never_starts_it():
    """A creation under way is waited for, and what it made is not started."""
    world = World(pod())
    for _ in range(4):
        world.look()
        if "container/web" in world.pending:
            break
        for key in list(world.pending):
            world.perform(key)
    world.delete()
    world.look()
    assert world.plan.actions == ()
    world.perform("container/web")
    world.settle()
    assert world.started == []
    assert world.plan.done


def test_forced_deletion_ends_what_runs():
    """A Pod that vanished from the API is killed within a second and torn down."""
    from msgspec.structs import replace

    world = World(pod())
    world.settle()
    world.view = replace(world.view, vanished=True)
    world.look()
    assert world.plan.ending.cause is Cause.VANISHED
    assert world.plan.actions[0].deadline == 1001.0
    world.settle()
    assert world.plan.done


def test_failed_pull_backs_off_and_tells_why():
    """ErrImagePull first, then ImagePullBackOff until the next try ten seconds later."""
    world = World(pod())
    world.look()
    world.perform("image/web", failure="ErrImagePull")
    world.settle()
    assert world.status("web").state.waiting.reason == "ErrImagePull"
    world.wait(1)
    world.settle()
    waiting = world.status("web").state.waiting
    assert waiting.reason == "ImagePullBackOff"
    assert waiting.message == 'Back-off pulling image "busybox": ErrImagePull: it did not come off'
    assert world.plan.deadline == 1010.0
    world.wait(9)
    world.look()
    assert kinds(world) == ["EnsureImage"]


def test_a_kill_that_fails_is_tried_again_after_a_pause():
    """No step is tried without end at one instant, an ending's neither."""
    world = World(pod())
    world.settle()
    world.delete()
    world.look()
    world.perform(failure="Unavailable")
    assert world.look().actions == ()
    assert world.plan.deadline == 1000.5
    world.wait(0.5)
    world.look()
    assert kinds(world) == ["KillContainer"]


def test_lost_sandbox_is_made_again_and_containers_restart():
    """After a reboot the Pod gets a new sandbox; init containers run again and restart counts go on."""
    world = World(pod(init=(INIT,)))
    world.settle()
    world.exits("setup")
    world.settle()
    world.lose_sandbox()
    world.look()
    assert world.plan.actions[0] == act.RunSandbox(1, "s1")
    world.settle()
    world.exits("setup")
    world.settle()
    assert world.status("web").restart_count == 1
    assert world.status("setup").restart_count == 1
    assert world.status("web").state.running is not None


def test_lost_sandbox_ends_a_pod_that_never_restarts():
    """Under Never a reboot is the end."""
    world = World(pod(restart="Never"))
    world.settle()
    world.lose_sandbox()
    world.settle()
    assert world.view.pod.status.phase == "Failed"


def test_active_deadline_fails_the_pod():
    """activeDeadlineSeconds counts from startTime; its end is Failed with reason DeadlineExceeded."""
    world = World(pod(active_deadline_seconds=60))
    world.settle()
    assert world.plan.deadline == 1060.0
    world.wait(60)
    world.settle()
    assert world.view.pod.status.phase == "Failed"
    assert world.view.pod.status.reason == "DeadlineExceeded"


def test_changed_image_restarts_the_container():
    """A running container whose image was changed is killed and runs anew, whatever the restart policy."""
    import msgspec
    from msgspec.structs import replace

    world = World(pod(restart="Never"))
    world.settle()
    world.view = replace(world.view, containers=tuple(replace(c, image="busybox") for c in world.view.containers))
    spec = world.view.pod.spec
    changed = msgspec.structs.replace(spec, containers=(Container(name="web", image="busybox:2"),))
    world.view = replace(world.view, pod=msgspec.structs.replace(world.view.pod, spec=changed))
    world.look()
    assert world.plan.actions[0].message == "Container web definition changed, will be restarted"
    world.settle()
    assert world.status("web").restart_count == 1
    assert world.status("web").state.running is not None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_history_breaks_the_rules(data):
    """Whatever happens in whatever order: counts never fall, ends never change, nothing starts twice.

    The world itself asserts each of these at every step.
    """
    policy = data.draw(st.sampled_from(["Always", "OnFailure", "Never"]))
    init = data.draw(st.sampled_from([(), (INIT,), (SIDECAR,), (INIT, SIDECAR)]))
    rules = data.draw(st.sampled_from([(), (ALL_AT_3,)]))
    web = Container(name="web", restart_policy_rules=rules)
    world = World(pod(web, Container(name="log"), init=init, restart=policy, grace=5))
    for _ in range(data.draw(st.integers(5, 40))):
        world.look()
        choices = (
            ["wait", "exit", "exit", "condemn", "refuse", "lose", "delete"]
            + ["perform"] * 6 * bool(world.pending)
            + ["fail"]
        )
        match data.draw(st.sampled_from(choices)):
            case "perform":
                world.perform(data.draw(st.sampled_from(sorted(world.pending))))
            case "fail" if world.pending:
                key = data.draw(st.sampled_from(sorted(world.pending)))
                if not key.startswith("kill/"):
                    world.perform(key, failure="ErrImagePull" if key.startswith("image/") else "CreateContainerError")
            case "wait":
                world.wait(data.draw(st.sampled_from([0.5, 10, 300, 700])))
            case "exit":
                name = data.draw(st.sampled_from(["web", "log", "setup", "proxy"]))
                world.exits(name, data.draw(st.sampled_from([0, 1, 3])))
            case "condemn":
                alive = [c.id for c in world.view.containers if c.is_running and c.name != "setup"]
                if alive:
                    verdict = ProbeFacts(True, True, data.draw(st.sampled_from(["Liveness", "Startup"])))
                    world.view = replace(
                        world.view, probes={**world.view.probes, data.draw(st.sampled_from(alive)): verdict}
                    )
            case "refuse":
                # Ready comes and goes, as a readiness probe has it.
                facts = {c.id: ProbeFacts(True, data.draw(st.booleans())) for c in world.view.containers}
                world.view = replace(world.view, probes={**facts, **world.view.probes})
            case "lose":
                if data.draw(st.booleans()) and not world.pending:
                    world.lose_sandbox()
            case "delete" if data.draw(st.integers(0, 9)) == 0:
                world.delete(grace=5)
    world.delete(grace=5)
    for _ in range(20):
        world.settle()
        world.wait(20)
    assert world.plan.done
    assert not world.view.sandboxes
