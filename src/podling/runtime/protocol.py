"""The runtime's Protocol: the CRI's verbs, in Podling's words.

Owns what a kubelet may ask of whatever runs containers, and the facts it gets back. Knows no Pod: the kubelet has
already decided everything (environment expanded, mounts prepared, users resolved). Invariants that the contract suite
holds every implementation to: verbs are idempotent (a stopped sandbox may be stopped, a removed container removed); a
container's id is on disk before its first process starts; a container is started at most once; after a restart of
Podling `list_*` tells the truth about what ran on meanwhile; facts are timestamps and exit codes, never labels.

A sandbox is what a Pod's containers share: pinned namespaces, a cgroup parent, a log folder. There is no infra
container.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence  # noqa: TC003  # decoders read these annotations
from enum import StrEnum
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, NewType, Protocol

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SandboxId = NewType("SandboxId", str)
ContainerId = NewType("ContainerId", str)
ImageId = NewType("ImageId", str)
"""`sha256:…`, the digest of the image's configuration."""


class RuntimeFailure(Exception):  # CRI's gRPC errors are not bugs but outcomes
    """A verb failed; `reason` is upstream's word for it where it has one.

    Reasons: ErrImagePull, ErrImageNeverPull, InvalidImageName, RegistryUnavailable, ImageNotFound, NotFound,
    CreateContainerError, RunContainerError, StartError, ContainerCannotRun, FailedCreatePodSandBox, Unavailable.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Resources(Struct, frozen=True):
    """Limits of a container or of a Pod, as the kubelet has computed them; `None` leaves the kernel's default."""

    cpu_shares: int | None = None
    """cgroup v1 weight, 2 to 262144; v2's weight is derived from it."""
    cpu_quota: int | None = None
    cpu_period: int | None = None
    memory_limit: int | None = None
    memory_request: int | None = None
    oom_score_adj: int | None = None
    pids_limit: int | None = None
    cpuset_cpus: str = ""
    hugepage_limits: Mapping[str, int] = field(default_factory=dict)


class Mount(Struct, frozen=True):
    """A bind of `host_path` into a container; no `host_path` is a tmpfs of `size` bytes."""

    container_path: str
    host_path: str = ""
    read_only: bool = False
    recursive_read_only: bool = False
    propagation: str = "private"
    """private, rslave, rshared"""
    size: int | None = None
    image: str = ""
    """A loaded image whose root is mounted read-only instead of `host_path`."""
    image_sub_path: str = ""


class IdMapping(Struct, frozen=True):
    """A run of ids: `length` ids from `container` inside are those from `host` outside."""

    container: int
    host: int
    length: int


class Security(Struct, frozen=True):
    """What a container's processes may do."""

    privileged: bool = False
    user: int | None = None
    user_name: str = ""
    group: int | None = None
    supplemental_groups: Sequence[int] = ()
    supplemental_groups_strict: bool = False
    """Take the listed groups only, without those that the image's /etc/group gives the user."""
    add_capabilities: Sequence[str] = ()
    drop_capabilities: Sequence[str] = ()
    no_new_privileges: bool = False
    read_only_root: bool = False
    seccomp: str = "RuntimeDefault"
    """RuntimeDefault, Unconfined, or the path of a profile."""
    masked_paths: bool = True
    """False for `procMount: Unmasked`."""
    apparmor: str = ""
    devices: Sequence[str] = ()


class SandboxConfig(Struct, frozen=True):
    """What a Pod's containers share."""

    uid: str
    namespace: str
    name: str
    attempt: int
    hostname: str
    log_directory: Path
    cgroup_parent: str
    """Path below each controller's root, as the kubelet's tree names it: `/kubepods/burstable/pod<uid>`."""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool = False
    user_mappings: Sequence[IdMapping] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    runtime_handler: str = ""


class ContainerConfig(Struct, frozen=True):
    """One container, decided to the last word."""

    name: str
    attempt: int
    """How often a container of this name was started in this Pod before: the restart count."""
    image: ImageId
    image_reference: str
    command: Sequence[str] = ()
    """Replaces the image's entrypoint when not empty."""
    args: Sequence[str] = ()
    environment: Sequence[tuple[str, str]] = ()
    working_directory: str = ""
    mounts: Sequence[Mount] = ()
    log_path: str = ""
    """Relative to the sandbox's log folder: `web/0.log`."""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    stop_signal: str = ""
    resources: Resources = Resources()
    security: Security = Security()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    target_container: ContainerId | None = None
    """Share this container's PID namespace (ephemeral containers)."""


class SandboxState(StrEnum):
    """Derived: ready while its namespaces are pinned."""

    READY = "ready"
    NOT_READY = "notready"


class ContainerState(StrEnum):
    """Derived from a container's timestamps; `UNKNOWN` where they contradict each other."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


class Sandbox(Struct, frozen=True):
    """A sandbox as it is."""

    id: SandboxId
    uid: str
    namespace: str
    name: str
    attempt: int
    created: float
    state: SandboxState
    network_namespace: str
    """Where the network namespace is pinned; empty with the host's network."""
    addresses: Sequence[str] = ()
    """Given only by runtimes that wire Pods themselves."""
    resources: Resources = Resources()
    """The Pod's own, as last set."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class Container(Struct, frozen=True):
    """A container as it is: facts with their instants, in seconds since the epoch."""

    id: ContainerId
    sandbox: SandboxId
    name: str
    attempt: int
    image: ImageId
    image_reference: str
    created: float
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    oom_killed: bool = False
    reason: str = ""
    message: str = ""
    """Why it could not start, where that is what happened."""
    log_path: str = ""
    pid: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    user: tuple[int, int, tuple[int, ...]] | None = None

    @property
    def state(self) -> ContainerState:
        if self.finished is not None:
            return ContainerState.EXITED
        if self.started is not None:
            return ContainerState.RUNNING
        return ContainerState.CREATED


class RuntimeEvent(Struct, frozen=True):
    """Something changed about a container or sandbox; a hint to look, never the fact itself."""

    sandbox: SandboxId
    uid: str
    container: ContainerId | None = None


class Image(Struct, frozen=True):
    """An image on this node."""

    id: ImageId
    tags: Sequence[str]
    digests: Sequence[str]
    size: int
    user: str = ""
    """The configuration's user, `uid[:gid]` or a name."""
    command: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    environment: Sequence[str] = ()
    working_directory: str = ""
    stop_signal: str = ""
    volumes: Sequence[str] = ()


class Credentials(Struct, frozen=True):
    """What a registry asks for."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""


class ExecResult(Struct, frozen=True):
    """What a command run to its end came to."""

    exit_code: int
    output: bytes
    """stdout and stderr, cut at the bound that the caller gave."""
    timed_out: bool = False


class ContainerStats(Struct, frozen=True):
    """Use so far; seconds since the epoch, nanoseconds of CPU, bytes."""

    container: ContainerId
    at: float
    cpu_nanoseconds: int
    memory_working_set: int
    memory_usage: int
    writable_layer: int = 0
    writable_inodes: int = 0
    pids: int = 0
    volumes: Mapping[str, int] = field(default_factory=dict)
    """Bytes in the Pod's volumes, by name; given only by runtimes whose volumes are no folders."""


class ByteStream(Protocol):
    """A duplex stream of bytes, closed by half: what a port-forward carries."""

    async def read(self, limit: int = 65536) -> bytes:
        """Return some bytes, or none at the end."""
        ...

    async def write(self, data: bytes) -> None: ...

    async def close_write(self) -> None: ...

    async def close(self) -> None: ...


class Session(Protocol):
    """A running `exec` or `attach`: three streams and an end."""

    async def read_stdout(self) -> bytes:
        """Return some bytes, or none at the end. With a terminal everything comes here."""
        ...

    async def read_stderr(self) -> bytes: ...

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int:
        """Return the exit code once the command has ended (exec), or the container has (attach)."""
        ...

    async def close(self) -> None:
        """Let go; an exec'ed command still running is killed, an attached container is not."""
        ...


class Images(Protocol):
    """The image store of a node. References come normalised or not; ids and digests are references too."""

    def check(self, reference: str) -> None:
        """Refuse what is no image name with `RuntimeFailure` InvalidImageName, before anybody waits for a pull."""
        ...

    async def pull(self, reference: str, credentials: Credentials | None = None) -> ImageId:
        """Make the image present; simultaneous pulls of one reference are one. `RuntimeFailure` says why not."""
        ...

    async def load(self, archive: Path) -> Sequence[str]:
        """Take the images of a docker-archive or OCI tar in; return their references."""
        ...

    async def status(self, reference: str) -> Image | None: ...

    async def list(self) -> Sequence[Image]: ...

    async def remove(self, reference: str) -> None: ...

    async def usage(self) -> tuple[int, int]:
        """Return the bytes and inodes that images occupy."""
        ...


class Runtime(Protocol):
    """Runs containers on one node."""

    @property
    def images(self) -> Images: ...

    @property
    def name(self) -> str:
        """The scheme of container ids in statuses: `cri-o`, `containerd`, `podling`, `sim`."""
        ...

    async def version(self) -> str:
        """Return `name://version` as `status.nodeInfo.containerRuntimeVersion` prints it."""
        ...

    async def start(self) -> None:
        """Find what survived from before; after this the lists are true."""
        ...

    async def close(self) -> None:
        """Let go of everything; containers live on."""
        ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Yield a hint for each change from the call on; a reader that falls behind sees the iterator end."""
        ...

    async def run_sandbox(self, config: SandboxConfig) -> Sandbox: ...

    async def stop_sandbox(self, sandbox: SandboxId) -> None:
        """Kill what still runs in it and unpin its namespaces."""
        ...

    async def remove_sandbox(self, sandbox: SandboxId) -> None:
        """Remove it with its containers and leave nothing behind."""
        ...

    async def list_sandboxes(self, uid: str = "") -> Sequence[Sandbox]:
        """Return all sandboxes, or those of the Pod `uid`: a worker that looks after one Pod pays for that one."""
        ...

    async def create_container(self, sandbox: SandboxId, config: ContainerConfig) -> ContainerId: ...

    async def start_container(self, container: ContainerId) -> None: ...

    async def stop_container(self, container: ContainerId, grace: float) -> None:
        """Send the stop signal, wait up to `grace` seconds, then SIGKILL; return when it is dead."""
        ...

    async def remove_container(self, container: ContainerId) -> None: ...

    async def list_containers(self, sandbox: SandboxId | None = None) -> Sequence[Container]: ...

    async def container(self, container: ContainerId) -> Container | None: ...

    async def update_resources(self, container: ContainerId, resources: Resources) -> None: ...

    async def update_sandbox_resources(self, sandbox: SandboxId, resources: Resources) -> None: ...

    async def reopen_log(self, container: ContainerId) -> None: ...

    async def exec_sync(
        self, container: ContainerId, command: Sequence[str], timeout: float, limit: int = 16384
    ) -> ExecResult:
        """Run a command to its end or its timeout, keeping at most `limit` bytes of output."""
        ...

    async def exec(
        self,
        container: ContainerId,
        command: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
    ) -> Session: ...

    async def attach(self, container: ContainerId, *, stdin: bool = False, tty: bool = False) -> Session: ...

    async def port_forward(self, sandbox: SandboxId, port: int) -> ByteStream:
        """Connect to a port on the sandbox's loopback."""
        ...

    async def stats(
        self, *, sandboxes: Collection[SandboxId] | None = None, disk: bool = True
    ) -> Sequence[ContainerStats]:
        """Return the use of every running container, or of those in `sandboxes`.

        Without `disk` no writable layer is walked.
        """
        ...
