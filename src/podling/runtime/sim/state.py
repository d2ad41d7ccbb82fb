"""Everything that is so in a simulated runtime, as one copyable value.

Owns the records of sandboxes, containers and images. Nothing in here is a task, a future or a timer: what will happen
is written down as an instant, so that a copy can go its own way. Invariant: `copy` shares only what is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from podling.lifecycle.container import CONTAINER, Event, Stage
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    import ipaddress

    from podling.runtime.protocol import Container, Image, Sandbox, SandboxConfig
    from podling.runtime.sim.script import Run


@dataclass(frozen=True, slots=True)
class SimSandbox:
    """A sandbox and what it was asked to be."""

    sandbox: Sandbox
    config: SandboxConfig


@dataclass(frozen=True, slots=True)
class SimContainer:
    """A container, where in its machine it is, and when it will end by itself."""

    container: Container
    run: Run
    stage: Stage = Stage.CREATED
    starts_at: float | None = None
    """When it will have started, whether or not anybody waits for it."""
    ends_at: float | None = None
    end_code: int = 0
    end_oom: bool = False
    log: tuple[tuple[float, str], ...] = ()

    def step(self, event: Event) -> SimContainer:
        """Return the container after `event`; `ImpossibleEvent` where its machine has no such edge."""
        return replace(self, stage=CONTAINER.step(self.stage, event))


@dataclass(slots=True)
class SimState:
    """The whole of one simulated node's runtime."""

    sandboxes: dict[str, SimSandbox] = field(default_factory=dict)
    containers: dict[str, SimContainer] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    """By normalised reference."""
    pulls: dict[str, int] = field(default_factory=dict)
    """How often each reference was asked for."""
    addresses: dict[str, str] = field(default_factory=dict)
    """By sandbox."""
    next_address: int = 2

    def copy(self) -> SimState:
        """Return a state that goes its own way from here."""
        return SimState(
            dict(self.sandboxes),
            dict(self.containers),
            dict(self.images),
            dict(self.pulls),
            dict(self.addresses),
            self.next_address,
        )

    def take_address(self, sandbox: str, network: ipaddress.IPv4Network) -> str:
        """Give a sandbox the next free address of `network`; after the last comes the first again."""
        held = frozenset(self.addresses.values())
        size = network.num_addresses
        for _ in range(size):
            offset = self.next_address
            self.next_address = offset + 1 if offset + 2 < size else 2
            address = str(network[offset])
            if address not in held:
                self.addresses[sandbox] = address
                return address
        raise RuntimeFailure("FailedCreatePodSandBox", f"every address of {network} is taken")
