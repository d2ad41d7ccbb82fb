"""connect: what webhooks are asked before streams and proxied requests are passed on.

Owns the options object that stands for such a request: its kind, and its fields as they are in the query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.apiserver.admission.operation import Operation
from podling.apiserver.paths import truth
from podling.apiserver.verbs import writing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.apiserver.paths import Target
    from podling.apiserver.record import User
    from podling.apiserver.registry import Registry

_KINDS: Final[Mapping[tuple[str, str], str]] = {
    ("pods", "attach"): "PodAttachOptions",
    ("pods", "exec"): "PodExecOptions",
    ("pods", "portforward"): "PodPortForwardOptions",
    ("pods", "proxy"): "PodProxyOptions",
    ("services", "proxy"): "ServiceProxyOptions",
    ("nodes", "proxy"): "NodeProxyOptions",
}
"""A log is read, not connected to."""
_FLAGS: Final = ("stdin", "stdout", "stderr", "tty")


async def admit_connect(registry: Registry, target: Target, user: User, query: Sequence[tuple[str, str]]) -> None:
    """Let webhooks refuse a connection; `StatusError` where one does."""
    options = options_of(target, query)
    if options is None:
        return
    context = writing.new_context(registry, user, [], dry_run=False)
    operation = Operation(
        "CONNECT", target.record, target.subresource, target.namespace, target.name, options, None, context
    )
    await writing.mutate(registry, operation)
    await writing.ask(registry, operation)


def options_of(target: Target, query: Sequence[tuple[str, str]]) -> dict[str, Any] | None:
    """Return the object that stands for a request; `None` where webhooks are not asked."""
    kind = _KINDS.get((target.record.resource.plural, target.subresource))
    if kind is None:
        return None
    options: dict[str, Any] = {"kind": kind, "apiVersion": "v1"}
    if target.subresource == "proxy":
        return options | ({"path": f"/{target.rest}"} if target.rest else {})
    if target.subresource == "portforward":
        ports = [int(it) for key, text in query if key == "ports" for it in text.split(",") if it.isdecimal()]
        return options | ({"ports": ports} if ports else {})
    first = dict(reversed(query))
    options |= {name: True for name in _FLAGS if name in first and truth(first[name])}
    if first.get("container"):
        options["container"] = first["container"]
    if target.subresource == "exec":
        options["command"] = [value for key, value in query if key == "command"]
    return options
