"""Defaults inside one container: image pull policy, messages, ports, probes, hooks, environment.

Holds for regular, init and ephemeral containers alike, in Pods and in templates. Must not know what is around the
container: what depends on the Pod (host ports, requests from limits) stands in `pod`.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from podling.api.defaults.quantities import canonicalize

_HOST_LABEL = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_DOMAIN = rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?:{_DOMAIN}|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)

_LONGEST_REFERENCE = 1024
"""Repository, tag and digest are together shorter; longer text is no reference and not worth matching."""


@functools.lru_cache(maxsize=1024)
def pull_policy(image: str) -> str:
    """Return the imagePullPolicy that an image's tag implies.

    `latest`, written or implied, may move, so it is pulled always. What is no image reference is left to validation
    and the runtime, as upstream does.
    """
    match = _REFERENCE.fullmatch(image) if len(image) <= _LONGEST_REFERENCE else None
    if match is None:
        return "IfNotPresent"
    tag = match["tag"] or ("" if match["digest"] else "latest")
    return "Always" if tag == "latest" else "IfNotPresent"


def apply_container(container: dict[str, Any]) -> None:
    """Fill in one container of any sort."""
    get = container.get
    if not get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(get("image") or "")
    if not get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    resources = get("resources")
    if resources:
        for part in ("limits", "requests"):
            if resources.get(part):
                canonicalize(resources[part])
    else:
        container["resources"] = {}
    for port in get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in get("env") or ():
        source = variable.get("valueFrom")
        if source:
            _environment_source(source)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = get(name)
        if probe is not None:
            _probe(probe)
    lifecycle = get("lifecycle")
    if lifecycle:
        for name in ("postStart", "preStop"):
            hook = lifecycle.get(name)
            if hook and hook.get("httpGet") is not None:
                _http_get(hook["httpGet"])


def apply_field_ref(ref: dict[str, Any]) -> None:
    """Fill in the version of an object field selector."""
    if not ref.get("apiVersion"):
        ref["apiVersion"] = "v1"


def apply_resource_field_ref(ref: dict[str, Any]) -> None:
    """Fill in the divisor of a resource field selector: zero, which readers take for one."""
    if ref.get("divisor") is None:
        ref["divisor"] = "0"
    else:
        canonicalize(ref, ("divisor",))


def _environment_source(source: dict[str, Any]) -> None:
    if source.get("fieldRef") is not None:
        apply_field_ref(source["fieldRef"])
    if source.get("resourceFieldRef") is not None:
        apply_resource_field_ref(source["resourceFieldRef"])
    file = source.get("fileKeyRef")
    if file is not None and file.get("optional") is None:
        file["optional"] = False


def _probe(probe: dict[str, Any]) -> None:
    if not probe.get("timeoutSeconds"):
        probe["timeoutSeconds"] = 1
    if not probe.get("periodSeconds"):
        probe["periodSeconds"] = 10
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if not probe.get("failureThreshold"):
        probe["failureThreshold"] = 3
    http = probe.get("httpGet")
    if http is not None:
        _http_get(http)
    grpc = probe.get("grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _http_get(action: dict[str, Any]) -> None:
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"
