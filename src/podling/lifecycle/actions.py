"""What a plan can ask for.

Owns the actions, imperative and small. Each names with `key` what it works on: of two actions with one key only one is
ever under way, which is how "concurrently but never twice" is kept. Knows neither who performs them nor how.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class PrepareVolumes(Struct, frozen=True):
    """Make every volume of the Pod ready to be mounted."""

    @property
    def key(self) -> str:
        return "volumes"


class RunSandbox(Struct, frozen=True):
    """Pin namespaces and wire the network; `replaces` is an earlier sandbox that was lost, and ends first."""

    attempt: int
    replaces: str = ""

    @property
    def key(self) -> str:
        return "sandbox"


class EnsureImage(Struct, frozen=True):
    """Have the image for the next attempt of a container, pulled as its policy says."""

    container: str
    attempt: int

    @property
    def key(self) -> str:
        return f"image/{self.container}"


class CreateContainer(Struct, frozen=True):
    """Create the next attempt of a container; its successor will wait `back_off` seconds after its death."""

    container: str
    attempt: int
    sandbox: str
    image_id: str
    back_off: float

    @property
    def key(self) -> str:
        return f"container/{self.container}"


class StartContainer(Struct, frozen=True):
    """Start a created instance."""

    container: str
    id: str

    @property
    def key(self) -> str:
        return f"container/{self.container}"


class KillContainer(Struct, frozen=True):
    """SIGTERM, and SIGKILL at `deadline` (seconds since the epoch)."""

    container: str
    id: str
    deadline: float
    message: str

    @property
    def key(self) -> str:
        return f"kill/{self.id}"


class ResizeContainer(Struct, frozen=True):
    """Give a running container the limits that are asked for now."""

    container: str
    id: str
    sandbox: str

    @property
    def key(self) -> str:
        return f"resize/{self.id}"


class ResizePod(Struct, frozen=True):
    """Give the Pod as a whole the limits that it asks for itself by now."""

    sandbox: str

    @property
    def key(self) -> str:
        return "resize/pod"


class RunPreStop(Struct, frozen=True):
    """Run a container's preStop hook though its turn to be stopped has not come; `deadline` is the hook's too."""

    container: str
    id: str
    deadline: float

    @property
    def key(self) -> str:
        return f"prestop/{self.id}"


class RemoveContainer(Struct, frozen=True):
    """Forget a dead instance that nobody asks for any more."""

    container: str
    id: str

    @property
    def key(self) -> str:
        return f"remove/{self.id}"


class StopSandbox(Struct, frozen=True):
    """Unwire the network and unpin the namespaces; what still runs in it dies."""

    id: str

    @property
    def key(self) -> str:
        return "sandbox"


class RemoveSandbox(Struct, frozen=True):
    """Remove a sandbox with its containers and their logs."""

    id: str

    @property
    def key(self) -> str:
        return f"remove/{self.id}"


class Abandon(Struct, frozen=True):
    """Give up what is under way for a key, because the Pod ends."""

    of: str

    @property
    def key(self) -> str:
        return f"abandon/{self.of}"


class DeleteFromApi(Struct, frozen=True):
    """Tell the API server that nothing of the Pod runs any more, so that it lets go of the object."""

    @property
    def key(self) -> str:
        return "api"


class TearDown(Struct, frozen=True):
    """Leave nothing of the Pod on this node: its volumes, its folder, its cgroup."""

    @property
    def key(self) -> str:
        return "volumes"


Action: TypeAlias = (
    PrepareVolumes
    | RunSandbox
    | EnsureImage
    | CreateContainer
    | StartContainer
    | KillContainer
    | ResizeContainer
    | ResizePod
    | RunPreStop
    | RemoveContainer
    | StopSandbox
    | RemoveSandbox
    | Abandon
    | DeleteFromApi
    | TearDown
)
