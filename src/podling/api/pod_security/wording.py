"""How violations are told: upstream's plurals and quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from podling.api.validation.field import SPEC
from podling.api.validation.visit import visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sized

    from podling.api.types.core_v1 import Container, EphemeralContainer, PodSecurityContext, PodSpec, SecurityContext

    AnyContainer = Container | EphemeralContainer


class Subject(Struct, frozen=True):
    """What a check looks at: a Pod's, or of what Pods are made from."""

    spec: PodSpec
    annotations: Mapping[str, str]

    def containers(self) -> Iterator[AnyContainer]:
        """Yield init, regular and ephemeral containers."""
        for _, container in visit(self.spec, SPEC):
            yield container

    @property
    def apart(self) -> bool:
        """Whether it has a user namespace of its own."""
        return self.spec.host_users is False

    @property
    def windows(self) -> bool:
        return self.spec.os is not None and self.spec.os.name == "windows"


class Violation(NamedTuple):
    """What is not allowed, in general and in particular."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def plural(one: str, many: str, of: Sized) -> str:
    return one if len(of) == 1 else many


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def containers(names: list[str]) -> str:
    """Name containers: `container "a"`, `containers "a", "b"`."""
    return f"{plural('container', 'containers', names)} {quoted(names)}"


def setters(subject: Subject, is_bad: Callable[[PodSecurityContext | SecurityContext], Any]) -> str:
    """Name whose security contexts are bad: `pod and container "a"`; empty where nobody's is."""
    whole = subject.spec.security_context
    names = [
        container.name
        for container in subject.containers()
        if container.security_context is not None and is_bad(container.security_context)
    ]
    who = ["pod"] if whole is not None and is_bad(whole) else []
    return " and ".join([*who, *([containers(names)] if names else [])])
