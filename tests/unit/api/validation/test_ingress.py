"""What an Ingress, an IngressClass and a PodTemplate may say."""

from __future__ import annotations

import pytest

from podling.api import defaults, validation
from podling.api.resources import INGRESS_CLASSES, INGRESSES, POD_TEMPLATES

from .objects import found, found_in_update

WEB = {"service": {"name": "web", "port": {"number": 80}}}
RULES = "spec.rules[0]"
PATH = f"{RULES}.http.paths[0]"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
WILDCARD = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower "
    "case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used "
    "for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def ingress(annotations: dict | None = None, **spec: object) -> dict:
    metadata = {"name": "i", "namespace": "default", "resourceVersion": "1", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": spec}


def route(path: str = "/", kind: str | None = "Prefix", backend: dict | None = None, host: str = "") -> dict:
    found = {"path": path, "backend": WEB if backend is None else backend} | ({"pathType": kind} if kind else {})
    return ingress(rules=[{"host": host, "http": {"paths": [found]}}])


def test_what_is_sound() -> None:
    """Hosts, wildcards, every type of path, backends by number, by name and of other kinds, certificates."""
    sound = ingress(
        {"kubernetes.io/ingress.class": "mine"},
        ingressClassName="mine",
        defaultBackend={"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "b"}},
        rules=[
            {"host": "*.example.com", "http": {"paths": [{"path": "/a", "pathType": "Exact", "backend": WEB}]}},
            {"host": "example.com"},
            {"http": {"paths": [{"pathType": "ImplementationSpecific", "backend": {"service": {"name": "a", "port": {"name": "http"}}}}]}},
        ],
        tls=[{"hosts": ["*.example.com", "example.com"], "secretName": "s"}, {}],
    )  # fmt: skip
    assert found(INGRESSES, sound) == found_in_update(INGRESSES, sound, sound) == []


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (ingress(), ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (
            ingress({"kubernetes.io/ingress.class": "a"}, ingressClassName="b", defaultBackend=WEB),
            ['annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are specified'],
        ),
        (
            ingress(ingressClassName="B", defaultBackend=WEB),
            [f'spec.ingressClassName: Invalid value: "B": {SUBDOMAIN}'],
        ),
        (route(host="10.0.0.1"), [f'{RULES}.host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address']),
        (route(host="A"), [f'{RULES}.host: Invalid value: "A": {SUBDOMAIN}']),
        (route(host="a.*"), [f'{RULES}.host: Invalid value: "a.*": {WILDCARD}']),
        (ingress(rules=[{"http": {"paths": []}}]), [f"{RULES}.http.paths: Required value"]),
        (route(kind=None), [f"{PATH}.pathType: Required value: pathType must be specified"]),
        (
            route(kind="Other"),
            [f'{PATH}.pathType: Unsupported value: "Other": supported values: "Exact", "ImplementationSpecific", "Prefix"'],
        ),
        (route(""), [f'{PATH}.path: Invalid value: "": must be an absolute path']),
        (route("a", "ImplementationSpecific"), [f'{PATH}.path: Invalid value: "a": must be an absolute path']),
        (route("/a//b"), [f"{PATH}.path: Invalid value: \"/a//b\": must not contain '//'"]),
        (route("/a/%2F/..", "Exact"), [f'{PATH}.path: Invalid value: "/a/%2F/..": {said}' for said in ("must not contain '%2F'", "cannot end with '/..'")]),
        (route(backend={}), [f'{PATH}.backend: Invalid value: "": resource or service backend is required']),
        (
            route(backend=WEB | {"resource": {"kind": "a", "name": "b"}}),
            [f'{PATH}.backend: Invalid value: "": cannot set both resource and service backends'],
        ),
        (
            route(backend={"resource": {"apiGroup": "A", "kind": "", "name": "a/b"}}),
            [
                f'{PATH}.backend.resource.apiGroup: Invalid value: "A": {SUBDOMAIN}',
                f"{PATH}.backend.resource.kind: Required value",
                f"{PATH}.backend.resource.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
        (
            route(backend={"service": {"name": "", "port": {}}}),
            [f"{PATH}.backend.service.name: Required value", f"{PATH}.backend: Required value: port name or number is required"],
        ),
        (
            route(backend={"service": {"name": "web", "port": {"name": "a", "number": 1}}}),
            [f'{PATH}.backend: Invalid value: "": cannot set both port name & port number'],
        ),
        (
            route(backend={"service": {"name": "web", "port": {"number": 65536}}}),
            [f"{PATH}.backend.service.port.number: Invalid value: 65536: must be between 1 and 65535, inclusive"],
        ),
        (
            ingress(defaultBackend=WEB, tls=[{"hosts": ["*"], "secretName": "S"}]),
            [f'spec.tls[0].hosts[0]: Invalid value: "*": {WILDCARD}', f'spec.tls[0].secretName: Invalid value: "S": {SUBDOMAIN}'],
        ),
    ],
)  # fmt: skip
def test_what_an_ingress_may_not_say(tree: dict, lines: list[str]) -> None:
    """Each refusal has upstream's path and words."""
    assert found(INGRESSES, tree) == lines


def test_where_an_ingress_is_reached() -> None:
    """Its status names addresses and hosts, each in its place."""
    sound = ingress(defaultBackend=WEB)
    points = [{"ip": "10.0.0.1"}, {"hostname": "lb.example.com"}, {"ip": "10.0.0"}, {"hostname": "10.0.0.1"}]
    wrong = sound | {"status": {"loadBalancer": {"ingress": points}}}
    at = "status.loadBalancer.ingress"
    assert [f"{cause.field}: {cause.message}" for cause in validation.status_update(INGRESSES, wrong, sound)] == [
        f'{at}[2].ip: Invalid value: "10.0.0": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        f'{at}[3].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ]


def ingress_class(controller: str = "example.com/a", **parameters: object) -> dict:
    tree = {"metadata": {"name": "c", "resourceVersion": "1"}, "spec": {"controller": controller}}
    if parameters:
        tree["spec"]["parameters"] = {"kind": "K", "name": "n", **parameters}
    defaults.apply(INGRESS_CLASSES, tree)
    return tree


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (ingress_class(), []),
        (ingress_class(apiGroup="example.com"), []),
        (ingress_class(scope="Namespace", namespace="n"), []),
        (ingress_class(""), ["spec.controller: Required value"]),
        (ingress_class("a"), ['spec.controller: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")']),
        (ingress_class("A/b"), [f'spec.controller: Invalid value: "A": {SUBDOMAIN}']),
        (
            ingress_class("a/b?"),
            ['spec.controller: Invalid value: "b?": Invalid path (regex used for validation is \'[A-Za-z0-9/\\-._~%!$&\'()*+,;=:]+\')'],
        ),
        (ingress_class("a/" + "b" * 249), ["spec.controller: Too long: may not be more than 250 bytes"]),
        (ingress_class(namespace="n"), ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"]),
        (
            ingress_class(scope="Namespace"),
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        ),
        (
            ingress_class(scope="Other"),
            ['spec.parameters.scope: Unsupported value: "Other": supported values: "Cluster", "Namespace"'],
        ),
    ],
)  # fmt: skip
def test_what_a_class_may_say(tree: dict, lines: list[str]) -> None:
    """A controller with its domain, and parameters of the cluster's or a namespace's."""
    assert found(INGRESS_CLASSES, tree) == lines


def test_a_class_keeps_its_controller() -> None:
    """All else of it may change."""
    assert found_in_update(INGRESS_CLASSES, ingress_class(apiGroup="b"), ingress_class()) == []
    assert found_in_update(INGRESS_CLASSES, ingress_class("example.com/b"), ingress_class()) == [
        'spec.controller: Invalid value: "example.com/b": field is immutable'
    ]


def test_what_a_template_may_not_say() -> None:
    """What stands in a PodTemplate is checked as every template is, below `template`."""
    tree: dict = {"metadata": {"name": "t", "namespace": "default", "resourceVersion": "1"}}
    defaults.apply(POD_TEMPLATES, tree)
    assert found(POD_TEMPLATES, tree) == ["template.spec.containers: Required value"]
    tree["template"]["spec"]["containers"] = [{"name": "c", "image": "i"}]
    defaults.apply(POD_TEMPLATES, tree)
    assert found(POD_TEMPLATES, tree) == found_in_update(POD_TEMPLATES, tree, tree) == []
    bare = {key: tree[key] for key in ("metadata",)}
    assert found(POD_TEMPLATES, bare) == ["template.spec.containers: Required value"]
