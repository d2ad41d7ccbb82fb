"""IngressClasses: the controller that they name, which never changes, and where its parameters are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import formats, meta
from podling.api.validation.field import (
    SPEC,
    forbidden,
    immutable,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)
from podling.api.validation.ingress import check_reference

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.networking_v1 import IngressClass

_LONGEST: Final = 250
_SCOPES: Final = ("Cluster", "Namespace")


def check_class_create(ingress: IngressClass, causes: list[Cause]) -> None:
    meta.check_create(ingress.metadata, causes, namespaced=False)
    _check_spec(ingress, causes)


def check_class_update(new: IngressClass, old: IngressClass, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    immutable(SPEC / "controller", new.spec.controller, old.spec.controller, causes)
    _check_spec(new, causes)


def _check_spec(ingress: IngressClass, causes: list[Cause]) -> None:
    controller, where = ingress.spec.controller, SPEC / "controller"
    if not controller:
        causes.append(required(where))
    else:
        if len(controller.encode()) > _LONGEST:
            causes.append(too_long(where, _LONGEST))
        causes.extend(invalid(where, part, complaint) for part, complaint in formats.path_of_domain(controller))
    parameters, path = ingress.spec.parameters, SPEC / "parameters"
    if parameters is None:
        return
    check_reference(parameters, path, causes)
    match parameters.scope:
        case None:
            causes.append(required(path / "scope"))
        case "Namespace" if parameters.namespace is None:
            causes.append(required(path / "namespace", "`parameters.scope` is set to 'Namespace'"))
        case "Namespace":
            namespace = parameters.namespace or ""
            invalid_each(path / "namespace", namespace, formats.dns_label(namespace), causes)
        case "Cluster":
            if parameters.namespace is not None:
                causes.append(forbidden(path / "namespace", "`parameters.scope` is set to 'Cluster'"))
        case other:
            causes.append(not_supported(path / "scope", other, _SCOPES))
