"""Decides a container to the last word: from a Pod's specification to the runtime's configuration.

Owns `ContainerBuilder` and the sandbox's configuration: commands, environment, mounts, files, limits, names of logs.
Knows no runtime but its vocabulary. What stands in the way is `MissingReference`, which becomes
CreateContainerConfigError.
"""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from podling.kubelet.files import domain, hostname, hosts_file, write_once
from podling.kubelet.objects import MissingReference
from podling.kubelet.observation import BACK_OFF, IMAGE_ID, TERMINATION_FILE, TERMINATION_POLICY
from podling.kubelet.resolver import Notice, resolver_of
from podling.kubelet.security import security_of
from podling.kubelet.volumes.claims import is_read_only
from podling.kubelet.volumes.subpath import FOLDER, show_part, wanted_path
from podling.lifecycle.cgroups import PERIOD, Limits, cgroup_parent, limits_of, pod_limits
from podling.lifecycle.environment import expand_all
from podling.lifecycle.qos import oom_score_adj
from podling.linux import confinement
from podling.runtime.protocol import ContainerConfig, ImageId, Mount, Resources, SandboxConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Pod
    from podling.kubelet.environment import EnvironmentBuilder
    from podling.kubelet.settings import Settings
    from podling.lifecycle.actions import CreateContainer
    from podling.lifecycle.specs import AnyContainer
    from podling.runtime.protocol import ContainerId, IdMapping, Image

_PROPAGATION: Final = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
_LONGEST_NAME: Final = 64
"""What the kernel takes for a host's name."""
_TERMINATION_PATH: Final = "/dev/termination-log"


def log_folder(pod: Pod, settings: Settings) -> Path:
    """Return where a Pod's logs lie: `LOGS/NAMESPACE_NAME_UID`."""
    base = settings.logs or (settings.root.parent / "logs" / "pods" if settings.root is not None else None)
    return (base or Path("/var/log/pods")) / f"{pod.metadata.namespace}_{pod.metadata.name}_{pod.metadata.uid}"


def sandbox_config(
    pod: Pod, attempt: int, settings: Settings, handler: str = "", user_mappings: Sequence[IdMapping] = ()
) -> SandboxConfig:
    """Return what the Pod's containers are to share; `handler` is its RuntimeClass's.

    `MissingReference` where the kernel does not take the name that the Pod wants.
    """
    spec = pod.spec
    security = spec.security_context
    sysctls = {item.name: item.value for item in security.sysctls} if security is not None else {}
    labels = {
        **pod.metadata.labels,
        "io.kubernetes.pod.name": pod.metadata.name,
        "io.kubernetes.pod.namespace": pod.metadata.namespace,
        "io.kubernetes.pod.uid": pod.metadata.uid,
    }
    name = hostname(pod)
    if spec.set_hostname_as_fqdn and domain(pod, settings.cluster_domain):
        name = f"{name}.{domain(pod, settings.cluster_domain)}"
        if len(name) > _LONGEST_NAME:
            raise MissingReference(
                f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {name} is too long "
                f"({_LONGEST_NAME} characters is the max, {len(name)} characters requested)"
            )
    return SandboxConfig(
        uid=pod.metadata.uid,
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        attempt=attempt,
        hostname="" if spec.host_network and spec.hostname_override is None else name,
        log_directory=log_folder(pod, settings),
        cgroup_parent=cgroup_parent(pod, settings.cgroup_root),
        host_network=bool(spec.host_network),
        host_pid=bool(spec.host_pid),
        host_ipc=bool(spec.host_ipc),
        share_process_namespace=bool(spec.share_process_namespace),
        user_mappings=user_mappings,
        sysctls=sysctls,
        resources=_resources(_whole(pod, settings)),
        labels=labels,
        annotations=pod.metadata.annotations,
        runtime_handler=handler,
    )


class ContainerBuilder:
    """Makes the configurations of containers on this node."""

    def __init__(
        self, settings: Settings, environment: EnvironmentBuilder, memory_capacity: int, host_resolv: str
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._memory_capacity = memory_capacity
        self._host_resolv = host_resolv

    async def config(
        self,
        pod: Pod,
        container: AnyContainer,
        action: CreateContainer,
        *,
        image: Image | None,
        volumes: Mapping[str, str],
        addresses: Sequence[str],
        target: ContainerId | None = None,
    ) -> ContainerConfig:
        """Return one container's configuration; `MissingReference` says what stands in the way."""
        variables = await self._environment.build(pod, container, addresses, volumes)
        termination = self._termination_file(pod, container, action.attempt)
        annotations = {
            BACK_OFF: f"{action.back_off:g}",
            TERMINATION_POLICY: container.termination_message_policy or "File",
        }
        if image is not None and image.digests:
            annotations[IMAGE_ID] = image.digests[0]
        if termination:
            annotations[TERMINATION_FILE] = termination
        mounts = [
            await self._mount(pod, container, number, volumes, variables)
            for number in range(len(container.volume_mounts))
        ]
        mounts += self._own_mounts(pod, container, addresses, termination)
        limits = limits_of(container.resources)
        return ContainerConfig(
            name=container.name,
            attempt=action.attempt,
            image=ImageId(action.image_id),
            image_reference=container.image,
            command=expand_all(container.command, variables),
            args=expand_all(container.args, variables),
            environment=tuple(variables.items()),
            working_directory=container.working_dir,
            mounts=tuple(sorted(mounts, key=lambda mount: PurePosixPath(mount.container_path).parts)),
            log_path=f"{container.name}/{action.attempt}.log",
            stdin=bool(container.stdin),
            stdin_once=bool(container.stdin_once),
            tty=bool(container.tty),
            stop_signal=(container.lifecycle.stop_signal or "") if container.lifecycle is not None else "",
            resources=_resources(limits, self._oom_score(pod, container)),
            security=security_of(
                pod,
                container,
                image,
                self._seccomp_root(),
                seccomp_default=self._settings.seccomp_default,
                apparmor=confinement.apparmor(),
            ),
            labels={
                "io.kubernetes.container.name": container.name,
                "io.kubernetes.pod.name": pod.metadata.name,
                "io.kubernetes.pod.namespace": pod.metadata.namespace,
                "io.kubernetes.pod.uid": pod.metadata.uid,
            },
            annotations=annotations,
            target_container=target,
        )

    def notices(self, pod: Pod) -> Sequence[Notice]:
        """Return what is to be told of the files that a Pod gets; of simulated Pods nothing: they have none."""
        return () if self._settings.root is None else resolver_of(pod, self._settings, self._host_resolv).notices

    def _seccomp_root(self) -> Path | None:
        return self._settings.root.parent / "seccomp" if self._settings.root is not None else None

    def _oom_score(self, pod: Pod, container: AnyContainer) -> int | None:
        return oom_score_adj(pod, container, self._memory_capacity)

    async def _mount(
        self, pod: Pod, container: AnyContainer, number: int, volumes: Mapping[str, str], variables: Mapping[str, str]
    ) -> Mount:
        name, mount = container.name, container.volume_mounts[number]
        volume = next((v for v in pod.spec.volumes if v.name == mount.name), None)
        if volume is None or mount.name not in volumes:
            raise MissingReference(f'cannot find volume "{mount.name}" to mount into container "{name}"')
        read_only = bool(mount.read_only) or is_read_only(volume)
        if volume.image is not None:
            return Mount(
                mount.mount_path,
                read_only=True,
                image=volume.image.reference,
                image_sub_path=wanted_path(mount, variables),
            )
        host_path = volumes[mount.name]
        wanted = wanted_path(mount, variables)
        if wanted and host_path and self._settings.root is not None:
            place = self._settings.root / pod.metadata.uid / FOLDER / mount.name / name / str(number)
            host_path = await asyncio.to_thread(show_part, mount, name, host_path, wanted, place)
        projected = volume.config_map or volume.secret or volume.downward_api or volume.projected
        return Mount(
            mount.mount_path,
            host_path,
            read_only=read_only or projected is not None,
            recursive_read_only=mount.recursive_read_only in ("Enabled", "IfPossible") and read_only,
            propagation=_PROPAGATION.get(mount.mount_propagation or "", "private"),
        )

    def _own_mounts(self, pod: Pod, container: AnyContainer, addresses: Sequence[str], termination: str) -> list[Mount]:
        root = self._settings.root
        if root is None:
            return []
        folder = root / pod.metadata.uid
        taken = frozenset(mount.mount_path.rstrip("/") for mount in container.volume_mounts)
        mounts = []
        if termination:
            mounts.append(Mount(container.termination_message_path or _TERMINATION_PATH, termination))
        if "/etc/hosts" not in taken:
            content = hosts_file(pod, addresses, self._settings.cluster_domain)
            mounts.append(Mount("/etc/hosts", write_once(folder / "etc-hosts", content)))
        if "/etc/resolv.conf" not in taken:
            content = resolver_of(pod, self._settings, self._host_resolv).text()
            mounts.append(Mount("/etc/resolv.conf", write_once(folder / "resolv.conf", content)))
        return mounts

    def _termination_file(self, pod: Pod, container: AnyContainer, attempt: int) -> str:
        root = self._settings.root
        if root is None:
            return ""
        path = root / pod.metadata.uid / "containers" / container.name / str(attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o666)
        return str(path)


def _whole(pod: Pod, settings: Settings) -> Limits:
    return pod_limits(pod, settings.pod_pids_limit)


def _resources(limits: Limits, oom_score: int | None = None) -> Resources:
    return Resources(
        cpu_shares=limits.cpu_shares,
        cpu_quota=limits.cpu_quota,
        cpu_period=PERIOD if limits.cpu_quota is not None else None,
        memory_limit=limits.memory_limit,
        memory_request=limits.memory_request,
        oom_score_adj=oom_score,
        pids_limit=limits.pids_limit,
    )


def pod_resources(pod: Pod, settings: Settings) -> Resources:
    """Return what a Pod's own cgroup is told."""
    return _resources(_whole(pod, settings))


def resized_to(before: Resources, limits: Limits) -> Resources:
    """Return resources with other limits and all else as before."""
    fresh = _resources(limits, before.oom_score_adj)
    return replace(
        before,
        cpu_shares=fresh.cpu_shares,
        cpu_quota=fresh.cpu_quota,
        cpu_period=fresh.cpu_period,
        memory_limit=fresh.memory_limit,
        memory_request=fresh.memory_request,
    )


def grows(before: Resources, after: Resources) -> bool:
    """Whether any limit is higher than before, or gone."""
    pairs = ((before.cpu_quota, after.cpu_quota), (before.memory_limit, after.memory_limit))
    return any(old is not None and (new is None or new > old) for old, new in pairs)
