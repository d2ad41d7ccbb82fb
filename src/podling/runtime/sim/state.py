"""Everything that is so in a simulated runtime, as one copyable value.

Owns the records of sandboxes, containers and images. Nothing in here is a task, a future or a timer: what will happen
is written down as an instant, so that a copy can go its own way. Invariant: `copy` shares only what is frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from podling.lifecycle.container import CONTAINER, Event, Stage
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    from podling.runtime.protocol import Container, Image, Sandbox, SandboxConfig
    from podling.runtime.sim.script import Run

    Network = IPv4Network | IPv6Network


class SimSandbox(Struct, frozen=True):
    """A sandbox and what it was asked to be."""

    sandbox: Sandbox
    config: SandboxConfig


class SimContainer(Struct, frozen=True):
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


class SimState(Struct):
    """The whole of one simulated node's runtime."""

    sandboxes: dict[str, SimSandbox] = field(default_factory=dict)
    containers: dict[str, SimContainer] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    """By normalised reference."""
    pulls: dict[str, int] = field(default_factory=dict)
    """How often each reference was asked for."""
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By sandbox, the primary family's first."""
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

    def take_addresses(self, sandbox: str, networks: Sequence[Network]) -> tuple[str, ...]:
        """Give a sandbox the next free place, the same in each of the `networks`; after the last comes the first."""
        held = frozenset(each[0] for each in self.addresses.values())
        size = min(network.num_addresses for network in networks)
        for _ in range(size):
            offset = self.next_address
            self.next_address = offset + 1 if offset + 2 < size else 2
            if str(networks[0][offset]) not in held:
                self.addresses[sandbox] = tuple(str(network[offset]) for network in networks)
                return self.addresses[sandbox]
        every = " and ".join(map(str, networks))
        raise RuntimeFailure("FailedCreatePodSandBox", f"every address of {every} is taken")
