"""Defaults of a Pod and of the Pod templates that other kinds carry.

What a template gets is `apply_pod_spec`; a Pod gets more on top (requests from limits, pod-level resources, service
links, host ports), so that these appear in Pods alone and a template stays as its author wrote it. Must not know which
kinds carry templates.
"""

from __future__ import annotations

from typing import Any

from podling.api.defaults.containers import apply_container
from podling.api.defaults.quantities import canonicalize
from podling.api.defaults.volumes import apply_volume

_Tree = dict[str, Any]


def apply_pod(pod: _Tree) -> None:
    """Fill in a Pod."""
    spec = pod.get("spec")
    if spec is None:
        spec = pod["spec"] = {}
    apply_pod_spec(spec)
    containers = spec.get("containers") or ()
    init_containers = spec.get("initContainers") or ()
    for container in containers:
        _requests_from_limits(container["resources"])
    for container in init_containers:
        _requests_from_limits(container["resources"])
    if spec.get("resources"):
        from podling.api.defaults.podlevel import apply_pod_level_resources

        apply_pod_level_resources(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    if spec.get("hostNetwork"):
        _host_ports(containers)
        _host_ports(init_containers)


def apply_pod_template(template: _Tree) -> None:
    """Fill in a PodTemplateSpec, for the kinds that make Pods from one."""
    apply_pod_spec(template.setdefault("spec", {}))


def apply_pod_spec(spec: _Tree) -> None:
    """Fill in what a PodSpec gets wherever it stands, in a Pod or in a template."""
    get = spec.get
    if not get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if get("securityContext") is None:
        spec["securityContext"] = {}
    if get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    _service_account(spec)
    for volume in get("volumes") or ():
        apply_volume(volume)
    for containers in ("initContainers", "containers", "ephemeralContainers"):
        for container in get(containers) or ():
            apply_container(container)
    if get("overhead"):
        canonicalize(spec["overhead"])


def _service_account(spec: _Tree) -> None:
    """Keep the deprecated alias `serviceAccount` equal to `serviceAccountName`, as upstream's conversion does."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _requests_from_limits(resources: _Tree) -> None:
    limits = resources.get("limits")
    if not limits:
        return
    requests = resources.get("requests")
    if requests is None:
        resources["requests"] = dict(limits)
        return
    for name, value in limits.items():
        if name not in requests:
            requests[name] = value


def _host_ports(containers: Any) -> None:
    for container in containers:
        for port in container.get("ports") or ():
            if not port.get("hostPort"):
                port["hostPort"] = port.get("containerPort") or 0
