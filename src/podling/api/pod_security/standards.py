"""A Pod, or a template of Pods, judged by a level of the Pod Security Standards.

Owns which checks a level has, and their order, which is that of upstream's names for them. Where a check of
`restricted` asks for all that one of `baseline` does, only the stricter speaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.api.pod_security import baseline, restricted
from podling.api.pod_security.levels import Level, LevelVersion
from podling.api.pod_security.wording import Subject, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.api.types.core_v1 import PodSpec

    Check = Callable[[Subject, int], Violation | None]

_BASELINE: Final[Sequence[tuple[Check, Check | None, int]]] = (
    (baseline.app_armor_profile, None, 0),
    (baseline.capabilities, restricted.capabilities, 22),
    (baseline.host_namespaces, None, 0),
    (baseline.host_path_volumes, restricted.volumes, 0),
    (baseline.host_ports, None, 0),
    (baseline.host_probes_and_lifecycle, None, 0),
    (baseline.privileged, None, 0),
    (baseline.proc_mount, baseline.any_proc_mount, 35),
    (baseline.selinux_options, None, 0),
    (baseline.seccomp_profile, restricted.seccomp_profile, 19),
    (baseline.sysctls, None, 0),
    (baseline.windows_host_process, None, 0),
)
"""A check, the stricter one that takes its place at `restricted`, and since which release that does."""
_RESTRICTED: Final[Sequence[Check]] = (
    restricted.allow_privilege_escalation,
    restricted.capabilities,
    lambda subject, minor: baseline.any_proc_mount(subject, minor) if minor >= 35 else None,
    restricted.volumes,
    restricted.run_as_non_root,
    restricted.run_as_user,
    restricted.seccomp_profile,
)


class Violations(Struct, frozen=True):
    """All that a level finds wrong; false where that is nothing."""

    found: Sequence[Violation]

    def __bool__(self) -> bool:
        return bool(self.found)

    @property
    def detail(self) -> str:
        """What is wrong, and where."""
        return ", ".join(map(str, self.found))

    @property
    def reason(self) -> str:
        """What is wrong."""
        return ", ".join(violation.reason for violation in self.found)


def evaluate(asked: LevelVersion, spec: PodSpec, annotations: Mapping[str, str]) -> Violations:
    """Return what a Pod has that its level forbids, and what it lacks that its level asks for."""
    if asked.level == Level.PRIVILEGED:
        return Violations(())
    strict = asked.level == Level.RESTRICTED
    checks = [
        check for check, stricter, since in _BASELINE if not (strict and stricter is not None and asked.minor >= since)
    ]
    if strict:
        checks += _RESTRICTED
    subject = Subject(spec, annotations)
    judged = [check(subject, asked.minor) for check in checks]
    return Violations([violation for violation in judged if violation is not None])
