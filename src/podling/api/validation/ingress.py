"""Ingresses: hosts, paths and backends of their rules, certificates, and where their status says they are reached.

Must not know who serves them. Order of causes: upstream's, rule by rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import addresses, formats, meta
from podling.api.validation.field import ROOT, SPEC, STATUS, Path, invalid, invalid_each, not_supported, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import TypedLocalObjectReference
    from podling.api.types.networking_v1 import (
        HTTPIngressPath,
        Ingress,
        IngressBackend,
        IngressClassParametersReference,
        IngressRule,
        IngressServiceBackend,
    )

CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
"""How an Ingress named its class before there was a field for it."""
_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_IN_PATHS: Final = ("//", "/./", "/../", "%2f", "%2F")
_NOT_ENDING_PATHS: Final = ("/..", "/.")
_NO_ADDRESS: Final = "must be a DNS name, not an IP address"


def check_create(ingress: Ingress, causes: list[Cause]) -> None:
    meta.check_create(ingress.metadata, causes, namespaced=True)
    _check_spec(ingress, causes)
    annotated, named = ingress.metadata.annotations.get(CLASS_ANNOTATION), ingress.spec.ingress_class_name
    if annotated is not None and named is not None and annotated != named:
        # The path begins at `annotations`: upstream's slip.
        where = ROOT / "annotations" / CLASS_ANNOTATION
        causes.append(invalid(where, annotated, "must match `ingressClassName` when both are specified"))


def check_update(new: Ingress, old: Ingress, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new, causes)


def check_status_update(new: Ingress, old: Ingress, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    balancer, path = new.status.load_balancer, STATUS / "loadBalancer" / "ingress"
    for i, point in enumerate(balancer.ingress if balancer is not None else ()):
        if point.ip:
            addresses.check_ip(point.ip, path[i] / "ip", causes)
        if point.hostname:
            where = path[i] / "hostname"
            invalid_each(where, point.hostname, formats.dns_subdomain(point.hostname), causes)
            if addresses.parse(point.hostname) is not None:
                causes.append(invalid(where, point.hostname, _NO_ADDRESS))


def _check_spec(ingress: Ingress, causes: list[Cause]) -> None:
    spec = ingress.spec
    if not spec.rules and spec.default_backend is None:
        causes.append(invalid(SPEC, spec.rules, "either `defaultBackend` or `rules` must be specified"))
    if spec.default_backend is not None:
        _check_backend(spec.default_backend, SPEC / "defaultBackend", causes)
    for i, rule in enumerate(spec.rules):
        _check_rule(rule, (SPEC / "rules")[i], causes)
    for i, tls in enumerate(spec.tls):
        where = (SPEC / "tls")[i]
        for j, host in enumerate(tls.hosts):
            _check_host(host, (where / "hosts")[j], causes)
        if tls.secret_name:
            invalid_each(where / "secretName", tls.secret_name, formats.dns_subdomain(tls.secret_name), causes)
    if spec.ingress_class_name is not None:
        name = spec.ingress_class_name
        invalid_each(SPEC / "ingressClassName", name, formats.dns_subdomain(name), causes)


def _check_rule(rule: IngressRule, path: Path, causes: list[Cause]) -> None:
    if rule.host:
        if addresses.parse(rule.host) is not None:
            causes.append(invalid(path / "host", rule.host, _NO_ADDRESS))
        _check_host(rule.host, path / "host", causes)
    if rule.http is None:
        return
    where = path / "http" / "paths"
    if not rule.http.paths:
        causes.append(required(where))
    for i, route in enumerate(rule.http.paths):
        _check_path(route, where[i], causes)


def _check_host(host: str, path: Path, causes: list[Cause]) -> None:
    judge = formats.wildcard_dns_subdomain if "*" in host else formats.dns_subdomain
    invalid_each(path, host, judge(host), causes)


def _check_path(route: HTTPIngressPath, path: Path, causes: list[Cause]) -> None:
    where, text = path / "path", route.path
    match route.path_type:
        case None:
            causes.append(required(path / "pathType", "pathType must be specified"))
            return
        case "Exact" | "Prefix":
            if not text.startswith("/"):
                causes.append(invalid(where, text, "must be an absolute path"))
            causes.extend(invalid(where, text, f"must not contain '{part}'") for part in _NOT_IN_PATHS if part in text)
            causes.extend(
                invalid(where, text, f"cannot end with '{end}'") for end in _NOT_ENDING_PATHS if text.endswith(end)
            )
        case "ImplementationSpecific":
            if text and not text.startswith("/"):
                causes.append(invalid(where, text, "must be an absolute path"))
        case other:
            causes.append(not_supported(path / "pathType", other, _PATH_TYPES))
    _check_backend(route.backend, path / "backend", causes)


def _check_backend(backend: IngressBackend, path: Path, causes: list[Cause]) -> None:
    if backend.resource is not None and backend.service is not None:
        causes.append(invalid(path, "", "cannot set both resource and service backends"))
    elif backend.resource is not None:
        check_reference(backend.resource, path / "resource", causes)
    elif backend.service is not None:
        _check_service(backend.service, path, causes)
    else:
        causes.append(invalid(path, "", "resource or service backend is required"))


def _check_service(service: IngressServiceBackend, path: Path, causes: list[Cause]) -> None:
    if not service.name:
        causes.append(required(path / "service" / "name"))
    else:
        invalid_each(path / "service" / "name", service.name, formats.dns_1035_label(service.name), causes)
    name = service.port.name if service.port is not None else ""
    number = (service.port.number if service.port is not None else None) or 0
    where = path / "service" / "port"
    if name and number:
        causes.append(invalid(path, "", "cannot set both port name & port number"))
    elif name:
        invalid_each(where / "name", name, formats.port_name(name), causes)
    elif number:
        invalid_each(where / "number", number, formats.port_number(number), causes)
    else:
        causes.append(required(path, "port name or number is required"))


def check_reference(
    reference: TypedLocalObjectReference | IngressClassParametersReference, path: Path, causes: list[Cause]
) -> None:
    """Check a reference to an object of any kind, as backends and the parameters of classes have it."""
    if reference.api_group is not None:
        where = path / "apiGroup"
        invalid_each(where, reference.api_group, formats.dns_subdomain(reference.api_group), causes)
    for field, value in (("kind", reference.kind), ("name", reference.name)):
        if not value:
            causes.append(required(path / field))
        else:
            invalid_each(path / field, value, formats.path_segment(value), causes)
