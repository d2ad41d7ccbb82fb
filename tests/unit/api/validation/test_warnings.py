"""What is accepted, with a warning."""

from __future__ import annotations

import pytest

from podling.api import validation
from podling.api.resources import CONFIG_MAPS, PODS, SERVICE_ACCOUNTS, SERVICES

from .objects import pod, service

C = "spec.containers[0]"


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({}, []),
        (
            {"terminationGracePeriodSeconds": -1},
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
        ),
        (
            {"container": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}},
            [f'{C}.env[1]: hides previous definition of "A", which may be dropped when using apply'],
        ),
        ({"container": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]}}, []),
        (
            {"container": {"ports": [{"containerPort": 80}, {"containerPort": 80}]}},
            [f"{C}.ports[1]: duplicate port definition with {C}.ports[0]"],
        ),
        (
            {"container": {"ports": [{"containerPort": 80}, {"containerPort": 80, "hostPort": 1}]}},
            [f"{C}.ports[1]: overlapping port definition with {C}.ports[0]"],
        ),
        (
            {"nodeSelector": {"beta.kubernetes.io/os": "linux"}},
            ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
        ),
        (
            {"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}}},
            [
                (
                    "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "
                    '"priorityClassName" field instead'
                )
            ],
        ),
        (
            {"container": {"resources": {"limits": {"memory": "100m"}}}},
            [
                f'{C}.resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer',
                f'{C}.resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer',
            ],
        ),
        (
            {"imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]},
            [
                'spec.imagePullSecrets[1].name: duplicate name "a"',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
            ],
        ),
        (
            {"volumes": [{"name": "g", "gitRepo": {"repository": "r"}}]},
            ["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"],
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
            ["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
        ),
        (
            {"metadata": {"name": "a.b"}},
            [
                (
                    "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label "
                    "is recommended: [must not contain dots]"
                )
            ],
        ),
    ],
)
def test_pods(spec: dict, lines: list[str]) -> None:
    """A Pod's author hears what upstream would say."""
    assert validation.warnings(PODS, pod(**spec)) == lines


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({}, []),
        ({"externalName": "x"}, ['spec.externalName is ignored when spec.type is not "ExternalName"']),
        (
            {"externalIPs": ["192.0.02.1"]},
            [
                (
                    'spec.externalIPs[0]: non-standard IP address "192.0.02.1" will be considered invalid in a future '
                    'Kubernetes release: use "192.0.2.1"'
                ),
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            ],
        ),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]},
            [
                (
                    'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be '
                    '"10.0.0.0/8" or "10.0.0.1/32"?)'
                )
            ],
        ),
        (
            {"trafficDistribution": "PreferClose"},
            ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'],
        ),
    ],
)
def test_services(spec: dict, lines: list[str]) -> None:
    """A Service's author hears of odd addresses and of fields that are ignored."""
    assert validation.warnings(SERVICES, service(**spec)) == lines


def test_only_what_is_new_is_warned_of_in_accounts_and_nothing_in_config_maps() -> None:
    """The deprecated annotation of a ServiceAccount is named when it is set, not when it stays."""
    meta = {"name": "a", "namespace": "default", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    account = {"metadata": meta}
    assert len(validation.warnings(SERVICE_ACCOUNTS, account)) == 1
    assert validation.warnings(SERVICE_ACCOUNTS, account, account) == []
    assert validation.warnings(CONFIG_MAPS, {"metadata": {"name": "c"}}) == []
