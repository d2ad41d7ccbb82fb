"""Whether a dead container is started again, and when.

Owns the restart policy of Pods and containers and the back-off between attempts. Knows no clock. The back-off is a
fact of each instance (`ContainerFacts.back_off`), written at its creation, so that it survives a restart of the node's
agent:

    attempt 0 dies ─▶ at once ─▶ attempt 1 dies ─▶ first ─▶ attempt 2 dies ─▶ 2·first ─▶ … ─▶ longest
                                     └── ran longer than `reset`: at once, and the row begins again

Invariants: delays never exceed `longest`; an instance's own delay depends on its predecessor alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.api.pods import is_sidecar

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod
    from podling.lifecycle.facts import ContainerFacts
    from podling.lifecycle.specs import AnyContainer


@dataclass(frozen=True, slots=True)
class BackOff:
    """A doubling delay: seconds before the second try, the most, and how long a life makes it begin anew."""

    first: float = 10.0
    longest: float = 300.0
    reset: float = 600.0

    def after_failures(self, count: int) -> float:
        """Return the delay after `count` failures in a row."""
        return min(self.first * 2.0 ** (min(count, 64) - 1), self.longest) if count > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Every delay a node decides by; upstream's values, settable."""

    crash: BackOff = BackOff()
    image: BackOff = BackOff()
    step: BackOff = BackOff(first=0.5, longest=10.0)
    """Between tries of a sandbox, of volumes, of a container's creation."""
    image_failure_shown: float = 1.0
    """How long ErrImagePull is told before it becomes ImagePullBackOff: upstream's kubelet looks again with the next
    listing of its runtime, which is made once a second."""
    resize_retry: float = 10.0
    """Between looks whether there is room by now for a resize that was deferred."""
    let_go: float = 1.0
    """The longest that SIGTERM waits for Services to let a deleted Pod go; 0 never waits, as upstream."""
    last_answers: float = 0.2
    """How long a Pod that was let go is left to answer what had been sent to it."""


UPSTREAM: Final = Policy()


def restarts(pod: Pod, container: AnyContainer, instance: ContainerFacts) -> bool:
    """Whether a dead instance is to have a successor.

    A sidecar always has one. An init container has one only after a failure, and never under `Never`. A container's own
    `restartPolicyRules` go before its `restartPolicy`, which goes before the Pod's.
    """
    if container in pod.spec.ephemeral_containers:
        return False
    is_init = container in pod.spec.init_containers
    if is_init and is_sidecar(container):
        return True
    code = instance.exit_code if instance.exit_code is not None else 1
    if action_on_exit(container, code) == "Restart":
        return True
    policy = container.restart_policy or pod.spec.restart_policy or "Always"
    if is_init and instance.succeeded:
        return False
    if policy == "OnFailure":
        return code != 0
    return policy == "Always"


def restarts_after_probe(pod: Pod, container: AnyContainer) -> bool:
    """Whether a container that a probe condemned is started again: unless its policy is Never."""
    return (container.restart_policy or pod.spec.restart_policy or "Always") != "Never"


def action_on_exit(container: AnyContainer, code: int) -> str:
    """Return the action of the first of a container's rules that is about an exit code; empty if none is."""
    for rule in container.restart_policy_rules:
        if rule.exit_codes is not None:
            listed = code in rule.exit_codes.values
            if listed if rule.exit_codes.operator == "In" else not listed:
                return rule.action
    return ""


def restart_at(instance: ContainerFacts, back_off: BackOff, condemned_after: float | None = None) -> float:
    """Return the instant from which the successor of a dead instance may be created.

    For an instance that a probe condemned the back-off counts from its predecessor's death, as with upstream, whose
    kubelet kills and starts in one go: `condemned_after` is the time between the two deaths.
    """
    died = instance.finished if instance.finished is not None else instance.created
    if condemned_after is not None and condemned_after >= instance.back_off:
        return died
    return died if _lived_long(instance, back_off) else died + instance.back_off


def successors_back_off(instance: ContainerFacts | None, back_off: BackOff) -> float:
    """Return the `back_off` to write into the successor of `instance`; a first attempt has none."""
    if instance is None:
        return 0.0
    if instance.back_off == 0.0 or _lived_long(instance, back_off):
        return back_off.first
    return min(2.0 * instance.back_off, back_off.longest)


def _lived_long(instance: ContainerFacts, back_off: BackOff) -> bool:
    died = instance.finished if instance.finished is not None else instance.created
    return died - instance.created > back_off.reset
