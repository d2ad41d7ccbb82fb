"""Owns how Ingresses and their classes are shown in tables: upstream's columns and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.annotations import DEFAULT_INGRESS_CLASS
from podling.apiserver.tables.columns import AGE, NAME, NONE, Column, Layout, age

if TYPE_CHECKING:
    from podling.api.types.networking_v1 import Ingress, IngressClass, IngressRule

_MOST_HOSTS: Final = 3


def _hosts(rules: tuple[IngressRule, ...]) -> str:
    named = [i for i, rule in enumerate(rules) if rule.host][:_MOST_HOSTS]
    shown = ",".join(rules[i].host for i in named) or "*"
    # What is left is counted among the rules, with hosts or without: upstream's way.
    more = len(named) == _MOST_HOSTS and named[-1] + 1 < len(rules)
    return f"{shown} + {len(rules) - _MOST_HOSTS} more..." if more else shown


def _ingress(ingress: Ingress, now: float) -> list[Any]:
    spec, balancer = ingress.spec, ingress.status.load_balancer
    points = {point.ip or point.hostname for point in (balancer.ingress if balancer is not None else ())}
    return [
        ingress.metadata.name,
        NONE if spec.ingress_class_name is None else spec.ingress_class_name,
        _hosts(spec.rules),
        ",".join(sorted(points - {""})),
        "80, 443" if spec.tls else "80",
        age(ingress.metadata.creation_timestamp, now),
    ]


INGRESSES: Final = Layout(
    (
        NAME,
        Column("Class", "The name of the IngressClass resource that should be used for additional configuration"),
        Column("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
        Column("Address", "Address is a list containing ingress points for the load-balancer"),
        Column("Ports", "Ports of TLS configurations that open"),
        AGE,
    ),
    _ingress,
)


def _class(ingress: IngressClass, now: float) -> list[Any]:
    meta, spec = ingress.metadata, ingress.spec
    parameters = NONE
    if spec.parameters is not None:
        group = f".{spec.parameters.api_group}" if spec.parameters.api_group is not None else ""
        parameters = f"{spec.parameters.kind}{group}/{spec.parameters.name}"
    name = f"{meta.name} (default)" if meta.annotations.get(DEFAULT_INGRESS_CLASS) == "true" else meta.name
    return [name, spec.controller, parameters, age(meta.creation_timestamp, now)]


INGRESS_CLASSES: Final = Layout(
    (
        NAME,
        Column("Controller", "Controller that is responsible for handling this class"),
        Column("Parameters", "A reference to a resource with additional parameters"),
        AGE,
    ),
    _class,
)
