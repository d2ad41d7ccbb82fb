"""The OCI specification of one container: a pure function of what was decided and what the machine has.

Owns the defaults that containerd gives (capabilities, masked and read-only paths, mounts). Does no I/O: what must be
looked up (the user, the devices, the machine's capabilities) is handed in. Invariant: the same input, the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.runtime.oci.users import User
    from podling.runtime.protocol import ContainerConfig, IdMapping, Image, Mount, Resources, SandboxConfig

CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
ALL_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the order of their numbers."""
MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NoCommand(Exception):
    """Neither the Pod nor the image says what to run."""


class Device(Struct, frozen=True):
    """A device node of the machine."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0


class Surroundings(Struct, frozen=True):
    """What the machine and the sandbox give this container."""

    root: str
    cgroup: str
    namespaces: Mapping[str, str]
    """Namespace type to the path it is joined at; an empty path is a new one, an absent type the machine's."""
    user: User
    shm: str
    capabilities: frozenset[str] = frozenset(ALL_CAPABILITIES)
    """Those that this process could hand on."""
    oom_score_floor: int = -1000
    oom_group: bool = False
    """Whether a process killed for want of memory takes its container along, as upstream has it on cgroup version 2."""
    devices: Sequence[Device] = ()
    seccomp: Mapping[str, Any] | None = None
    mount_sources: Mapping[str, str] = field(default_factory=dict)
    """Container path to source for mounts whose source the runtime has made (tmpfs need none)."""
    hostname_file: str = ""
    ids: Sequence[IdMapping] = ()
    """How ids of the container's user namespace are ids of the machine's, where it has one."""


def arguments(config: ContainerConfig, image: Image) -> list[str]:
    """Return what is executed: a Pod's command silences the image's entrypoint and its default arguments."""
    entrypoint = list(config.command) or list(image.entrypoint)
    rest = list(config.args) or ([] if config.command else list(image.command))
    if not entrypoint + rest:
        raise NoCommand("no command specified")
    return entrypoint + rest


def environment(config: ContainerConfig, image: Image, hostname: str) -> list[str]:
    """Merge the image's variables with the Pod's, which win; later ones of a name win too."""
    merged: dict[str, str] = {}
    for item in [PATH, f"HOSTNAME={hostname}", *(["TERM=xterm"] if config.tty else []), *image.environment]:
        name, _, value = item.partition("=")
        merged[name] = value
    merged |= dict(config.environment)
    return [f"{name}={value}" for name, value in merged.items()]


def capabilities(config: ContainerConfig, available: frozenset[str]) -> list[str]:
    """Return the capabilities to keep, in the order of their numbers, none that cannot be handed on."""
    security = config.security
    if security.privileged:
        kept = set(ALL_CAPABILITIES)
    else:
        added = {_capability(name) for name in security.add_capabilities}
        dropped = {_capability(name) for name in security.drop_capabilities}
        kept = set(ALL_CAPABILITIES) if "CAP_ALL" in added else set(CAPABILITIES)
        if "CAP_ALL" in dropped:
            kept = set(ALL_CAPABILITIES) if "CAP_ALL" in added else set()
        kept = (kept | added) - dropped
    return [name for name in ALL_CAPABILITIES if name in kept and name in available]


def _capability(name: str) -> str:
    name = name.upper()
    return name if name.startswith("CAP_") else f"CAP_{name}"


def build(sandbox: SandboxConfig, config: ContainerConfig, image: Image, around: Surroundings) -> dict[str, Any]:
    """Return the contents of `config.json`."""
    kept = capabilities(config, around.capabilities)
    security = config.security
    process: dict[str, Any] = {
        "terminal": config.tty,
        "user": {"uid": around.user.uid, "gid": around.user.gid, "additionalGids": list(around.user.groups)},
        "args": arguments(config, image),
        "env": environment(config, image, sandbox.hostname),
        "cwd": config.working_directory or image.working_directory or "/",
        "capabilities": {"bounding": kept, "effective": kept, "permitted": kept},
        "noNewPrivileges": security.no_new_privileges,
    }
    if config.resources.oom_score_adj is not None:
        process["oomScoreAdj"] = max(config.resources.oom_score_adj, around.oom_score_floor)
    if security.apparmor:
        process["apparmorProfile"] = security.apparmor
    linux: dict[str, Any] = {
        "cgroupsPath": around.cgroup,
        "namespaces": [{"type": kind, **({"path": path} if path else {})} for kind, path in around.namespaces.items()],
        "resources": resources(config.resources, devices=_device_rules(security.privileged, around.devices)),
    }
    if around.ids:
        mapped = [{"containerID": ids.container, "hostID": ids.host, "size": ids.length} for ids in around.ids]
        linux |= {"uidMappings": mapped, "gidMappings": mapped}
    if around.oom_group:
        linux["resources"]["unified"] = {"memory.oom.group": "1"}
    if around.devices:
        linux["devices"] = [
            {
                "path": device.path,
                "type": device.kind,
                "major": device.major,
                "minor": device.minor,
                "fileMode": device.mode,
                "uid": device.uid,
                "gid": device.gid,
            }
            for device in around.devices
        ]
    if not security.privileged and security.masked_paths:
        linux["maskedPaths"] = list(MASKED)
        linux["readonlyPaths"] = list(READ_ONLY)
    if around.seccomp is not None and not security.privileged:
        linux["seccomp"] = around.seccomp
    mounted = mounts(config, around)
    propagations = {mount.propagation for mount in config.mounts}
    linux["rootfsPropagation"] = (
        "rshared" if "rshared" in propagations else "rslave" if "rslave" in propagations else "private"
    )
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": around.root, "readonly": security.read_only_root},
        "mounts": mounted,
        "annotations": dict(config.annotations),
        "linux": linux,
    }


def mounts(config: ContainerConfig, around: Surroundings) -> list[dict[str, Any]]:
    """Return the mounts in the order of their depth: the defaults, those of the Pod over them."""
    privileged = config.security.privileged
    access = "rw" if privileged else "ro"
    defaults: list[dict[str, Any]] = [
        _mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
        _mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", access]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", access]),
    ]
    if around.shm:
        defaults.append(_mount("/dev/shm", "bind", around.shm, ["rbind", "rprivate", "rw"]))
    if around.hostname_file:
        defaults.append(_mount("/etc/hostname", "bind", around.hostname_file, ["rbind", "rprivate", access_of(config)]))
    wanted = [_wanted(mount, around) for mount in config.mounts]
    taken = {mount["destination"] for mount in wanted}
    together = [mount for mount in defaults if mount["destination"] not in taken] + wanted
    return sorted(together, key=lambda mount: mount["destination"].rstrip("/").count("/"))


def access_of(config: ContainerConfig) -> str:
    """Files that Podling writes into `/etc` follow the root's mode."""
    return "ro" if config.security.read_only_root else "rw"


def _mount(destination: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": options}


def _wanted(mount: Mount, around: Surroundings) -> dict[str, Any]:
    path = "/" + mount.container_path.strip("/") if mount.container_path.startswith("/") else mount.container_path
    source = around.mount_sources.get(mount.container_path, mount.host_path)
    # An image is shared by all who stand on it, whatever the mount asks for.
    access = "ro" if mount.read_only or mount.image else "rw"
    if not source:
        size = [f"size={mount.size}"] if mount.size is not None else []
        return _mount(path, "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777", *size, access])
    propagation = {"rslave": "rslave", "rshared": "rshared"}.get(mount.propagation, "rprivate")
    options = ["rbind", propagation, access]
    if mount.read_only and mount.recursive_read_only:
        options.append("rro")
    return _mount(path, "bind", source, options)


def _device_rules(privileged: bool, devices: Sequence[Device]) -> list[dict[str, Any]]:
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    return [
        {"allow": False, "access": "rwm"},
        *(
            {"allow": True, "type": device.kind, "major": device.major, "minor": device.minor, "access": "rwm"}
            for device in devices
        ),
    ]


def resources(wanted: Resources, *, devices: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return the `resources` part, which `update` takes as well."""
    result: dict[str, Any] = {"devices": list(devices)} if devices else {}
    cpu = {
        name: value
        for name, value in (
            ("shares", wanted.cpu_shares),
            ("quota", wanted.cpu_quota),
            ("period", wanted.cpu_period),
            ("cpus", wanted.cpuset_cpus or None),
        )
        if value is not None
    }
    if cpu:
        result["cpu"] = cpu
    if wanted.memory_limit is not None:
        result["memory"] = {"limit": wanted.memory_limit}
    if wanted.pids_limit is not None:
        result["pids"] = {"limit": wanted.pids_limit}
    if wanted.hugepage_limits:
        result["hugepageLimits"] = [
            {"pageSize": size, "limit": limit} for size, limit in sorted(wanted.hugepage_limits.items())
        ]
    return result
