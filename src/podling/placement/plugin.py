"""The seams of the rules: what a filter and a score are.

A filter looks at the Pod once (`prepare`) and returns what is to be asked of each Node; one that has nothing to ask of
this Pod says so there and costs nothing per Node. A score values all feasible Nodes at once, already normalised. Both
see the whole snapshot, so that rules about other Pods (spreading, affinity between Pods) and trials on a changed
snapshot (preemption) need no further seam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from podling.placement.changes import Change
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

MAX_SCORE: Final = 100


class Refusal(Struct, frozen=True):
    """Why a Node cannot have the Pod. `resolvable` means that taking other Pods away might change it."""

    reasons: tuple[str, ...]
    resolvable: bool = False


NodeCheck: TypeAlias = Callable[["NodeInfo"], "Refusal | None"]


class Prepared(Struct, frozen=True):
    """What a filter asks for one Pod."""

    check: NodeCheck | None = None
    """To be asked of each Node; `None` lets every Node pass."""
    only: tuple[str, ...] | None = None
    """The only Nodes worth asking, sorted; `None` is all."""
    refusal: Refusal | None = None
    """The Pod fits nowhere, whatever the Node."""


PASS: Final = Prepared()
"""Nothing to ask of this Pod."""


class FilterPlugin(Protocol):
    """A rule that refuses Nodes."""

    @property
    def name(self) -> str: ...

    @property
    def awaits(self) -> tuple[type[Change], ...]:
        """The kinds of change that `helped_by` is to be asked about."""
        ...

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        """Return what is to be asked of each Node for this Pod."""
        ...

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        """Whether `change` may let a Pod pass that this rule refused."""
        ...


class ScorePlugin(Protocol):
    """A rule that values Nodes."""

    @property
    def name(self) -> str: ...

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """Return one value from 0 to `MAX_SCORE` for each of `nodes`, or `None` where the rule has no opinion."""
        ...


def normalised(values: list[int], *, reverse: bool = False) -> list[int]:
    """Scale values so that the largest is `MAX_SCORE`; `reverse` gives the smallest the most. Upstream's default."""
    largest = max(values, default=0)
    if largest == 0:
        return [MAX_SCORE] * len(values) if reverse else values
    scaled = [value * MAX_SCORE // largest for value in values]
    return [MAX_SCORE - value for value in scaled] if reverse else scaled
