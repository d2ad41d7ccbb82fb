"""What admission judges: one write, before it is validated and stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from podling.apiserver.record import Context, Record


@dataclass(slots=True)
class Operation:
    """One write. Admission may change `tree` in place, and refuses by raising `StatusError`."""

    verb: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    record: Record
    subresource: str
    namespace: str
    name: str
    tree: dict[str, Any]
    """The new object; for DELETE the one that goes; for `pods/binding` the Binding."""
    old: dict[str, Any] | None
    context: Context
    shown: Record | None = None
    """As which kind the caller sees the object, where that is not the stored one."""
    revision: int = 0
    """At which `old` stands; trees say nothing of it."""

    @property
    def is_whole(self) -> bool:
        """Whether `tree` is the object itself, and not a Binding or an Eviction of it."""
        return not self.subresource or self.subresource in self.record.parts

    @property
    def plural(self) -> str:
        return self.record.resource.plural

    def is_on(self, group: str, plural: str, subresource: str = "") -> bool:
        resource = self.record.resource
        return resource.plural == plural and resource.group == group and self.subresource == subresource
