"""DefaultTolerationSeconds: a Pod stays 300 s on a node that is not ready or not reachable.

Its own tolerations of these taints decide where it has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation

_SECONDS = 300
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds:
    """Upstream's plugin of that name."""

    def admit(self, operation: Operation) -> None:
        if operation.verb == "DELETE" or not operation.is_on("", "pods"):
            return
        spec = operation.tree["spec"]
        tolerations: list[dict[str, Any]] = list(spec.get("tolerations") or ())
        missing = [taint for taint in _TAINTS if not any(_covers(it, taint) for it in tolerations)]
        if missing:
            tolerations += [
                {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}
                for taint in missing
            ]
            spec["tolerations"] = tolerations


def _covers(toleration: dict[str, Any], taint: str) -> bool:
    return toleration.get("key", "") in {taint, ""} and toleration.get("effect", "") in {"NoExecute", ""}
