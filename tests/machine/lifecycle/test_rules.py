"""The small rules: QoS, cgroups, environment, restart policy, conditions, status of lost containers."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podling.api.types.core_v1 import (
    Container,
    ContainerRestartRule,
    ContainerRestartRuleOnExitCodes,
    PodCondition,
    PodReadinessGate,
    ResourceRequirements,
)
from podling.lifecycle.cgroups import Limits, cgroup_parent, limits_of, quota, shares
from podling.lifecycle.environment import expand
from podling.lifecycle.facts import ContainerFacts
from podling.lifecycle.qos import oom_score_adj, qos_class
from podling.lifecycle.restart import BackOff, restarts, successors_back_off
from tests.machine.lifecycle.world import World, pod


def asks(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None) -> Container:
    return Container(name="web", resources=ResourceRequirements(requests=requests or {}, limits=limits or {}))


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "kind"),
    [
        ((Container(name="web"),), "BestEffort"),
        ((asks(),), "BestEffort"),
        ((asks({"cpu": "0"}),), "BestEffort"),
        ((asks(FULL, FULL),), "Guaranteed"),
        ((asks(limits=FULL),), "Guaranteed"),
        ((asks({"cpu": "1000m", "memory": "1024Mi"}, FULL),), "Guaranteed"),
        ((asks({"cpu": "500m"}, FULL),), "Burstable"),
        ((asks(limits={"cpu": "1"}),), "Burstable"),
        ((asks(FULL),), "Burstable"),
        ((asks(FULL, FULL), Container(name="log")), "Burstable"),
    ],
)
def test_qos_class(containers, kind):
    """Guaranteed needs equal requests and limits of both resources in every container; BestEffort none at all."""
    assert qos_class(pod(*containers)) == kind


def test_oom_scores_rank_the_classes():
    """BestEffort dies first, Guaranteed last, a Burstable container the later the more it asked for."""
    gigabytes = 8 * 2**30
    small, large = asks({"memory": "1Gi"}), asks({"memory": "4Gi"})
    scores = [
        oom_score_adj(pod(container), container, gigabytes)
        for container in (Container(name="web"), small, large, asks(FULL, FULL))
    ]
    assert scores == [1000, 875, 500, -997]


def test_a_sidecar_is_not_killed_before_its_pod():
    """A sidecar that asks for less scores as the main container that asks for least; a Pod's own request is shared."""
    gigabytes = 8 * 2**30
    sidecar = Container(name="s", restart_policy="Always")
    mains = (asks({"memory": "1Gi"}), asks({"memory": "4Gi"}))
    assert oom_score_adj(pod(*mains, init=(sidecar,)), sidecar, gigabytes) == 875
    whole = ResourceRequirements(requests={"memory": "4Gi"})
    alone = Container(name="web")
    assert oom_score_adj(pod(alone, Container(name="log"), resources=whole), alone, gigabytes) == 750


def test_cgroups_are_named_and_filled_as_upstreams():
    """The tier stands in the path; CPU requests become shares, limits quota; a limit alone is also the request."""
    assert cgroup_parent(pod()) == "/kubepods/besteffort/podu1"
    assert cgroup_parent(pod(asks(FULL, FULL))) == "/kubepods/podu1"
    assert limits_of(asks({"cpu": "250m"}, {"cpu": "500m", "memory": "64Mi"}).resources) == Limits(
        256, 50_000, 64 * 2**20, 64 * 2**20
    )
    assert limits_of(None) == Limits(2, None, None, None)
    assert (shares(10**9), shares(0), quota(1)) == (262_144, 2, 1_000)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$(A)$(B)", "12"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(MISSING)", "$(MISSING)"),
        ("$(A", "$(A"),
        ("$A $", "$A $"),
        ("a$$b", "a$b"),
        ("$()", "$()"),
        ("$(A) and $(B)!", "1 and 2!"),
    ],
)
def test_expansion(text, expanded):
    """Known references are replaced, doubled dollars are one, all else stays."""
    assert expand(text, {"A": "1", "B": "2"}) == expanded


@given(st.text(alphabet="$()AB x"))
def test_expansion_of_unknown_names_changes_only_doubled_dollars(text):
    """Without variables, expansion never invents or loses anything but the second of two dollars."""
    assert expand(text, {}).replace("$", "") == text.replace("$", "")


def dead(code: int, **facts: object) -> ContainerFacts:
    return ContainerFacts("c1", "web", 0, "s1", 0.0, started=0.0, finished=1.0, exit_code=code, **facts)


@pytest.mark.parametrize(
    ("container", "policy", "code", "again"),
    [
        (Container(name="web"), "Always", 0, True),
        (Container(name="web"), "OnFailure", 0, False),
        (Container(name="web"), "OnFailure", 1, True),
        (Container(name="web"), "Never", 1, False),
        (Container(name="web", restart_policy="Never"), "Always", 1, False),
        (Container(name="web", restart_policy="OnFailure"), "Never", 1, True),
        (
            Container(
                name="web",
                restart_policy="Never",
                restart_policy_rules=(
                    ContainerRestartRule(
                        action="Restart", exit_codes=ContainerRestartRuleOnExitCodes(operator="In", values=(42,))
                    ),
                ),
            ),
            "Always",
            42,
            True,
        ),
    ],
)
def test_restart_policy(container, policy, code, again):
    """Rules go before the container's policy, which goes before the Pod's."""
    assert restarts(pod(container, restart=policy), container, dead(code)) is again


@given(st.lists(st.floats(0, 2000), max_size=20))
def test_back_off_never_exceeds_its_bound_and_grows_in_a_row(lives):
    """Whatever the lives, the delay is 0, or between the first and the longest; in a row of short lives it grows."""
    policy = BackOff()
    instance = None
    for life in lives:
        delay = successors_back_off(instance, policy)
        assert delay == 0.0 if instance is None else policy.first <= delay <= policy.longest
        if instance is not None and instance.finished - instance.created <= policy.reset and instance.back_off:
            assert delay >= instance.back_off
        instance = replace(dead(1), finished=life, back_off=delay)


def test_readiness_gates_hold_ready_back():
    """Ready waits for every gate; ContainersReady does not, and the gate's own condition is kept."""
    world = World(pod(readiness_gates=(PodReadinessGate(condition_type="example.com/feature"),)))
    world.settle()
    told = {c.type: c for c in world.view.pod.status.conditions}
    assert (told["ContainersReady"].status, told["Ready"].status) == ("True", "False")
    assert told["Ready"].reason == "ReadinessGatesNotReady"
    gate = PodCondition(type="example.com/feature", status="True")
    status = world.view.pod.status
    status = msgspec.structs.replace(status, conditions=(*status.conditions, gate))
    world.view = replace(world.view, pod=msgspec.structs.replace(world.view.pod, status=status))
    world.settle()
    told = {c.type: c for c in world.view.pod.status.conditions}
    assert told["Ready"].status == "True"
    assert told["example.com/feature"] == gate


def test_transition_times_move_with_the_status_alone():
    """A condition that stays keeps its time; one that changes gets the instant."""
    world = World(pod())
    world.settle()
    before = {c.type: c.last_transition_time for c in world.view.pod.status.conditions}
    world.wait(60)
    world.exits("web", 1)
    world.settle()
    world.exits("web", 1)
    world.settle()
    after = {c.type: c for c in world.view.pod.status.conditions}
    assert after["Ready"].last_transition_time != before["Ready"]
    assert after["PodScheduled"].last_transition_time == before["PodScheduled"]
    assert after["Ready"].message == "containers with unready status: [web]"


def test_what_the_runtime_lost_is_not_forgotten():
    """A container that was Running and is no more to be found counts as one that ended, and is restarted."""
    world = World(pod())
    world.settle()
    world.view = replace(world.view, containers=())
    world.look()
    told = world.status("web")
    assert told.last_state.terminated.reason == "ContainerStatusUnknown"
    assert told.restart_count == 1
    world.settle()
    assert world.status("web").restart_count == 1
    assert world.status("web").state.running is not None


def test_projected_volumes_are_refreshed():
    """When what is projected has become stale it is prepared again, and the plan wakes for that."""
    world = World(pod())
    world.settle()
    world.view = replace(world.view, volumes_stale_at=world.now + 60)
    assert world.look().deadline == world.now + 60
    world.wait(60)
    assert [type(action).__name__ for action in world.look().actions] == ["PrepareVolumes"]
