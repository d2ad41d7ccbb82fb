"""What a Service may not be, and what may change in it."""

from __future__ import annotations

import pytest

from podling.api.resources import SERVICES

from .objects import found, found_in_update, service

CASES = [
    ({}, []),
    (
        {"type": "X"},
        [
            'spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'
        ],
    ),
    ({"ports": []}, ["spec.ports: Required value"]),
    ({"ports": [], "clusterIP": "None", "clusterIPs": ["None"]}, []),
    (
        {"ports": [{"port": 80}, {"port": 81}]},
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    ),
    (
        {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "a"}]},
        [
            'spec.ports[1].name: Duplicate value: "a"',
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}',
        ],
    ),
    (
        {"ports": [{"port": 0, "targetPort": "not a port"}]},
        [
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            'spec.ports[0].targetPort: Invalid value: "not a port": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
        ],
    ),
    (
        {"ports": [{"port": 80, "nodePort": 30000}]},
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ),
    (
        {
            "type": "NodePort",
            "ports": [{"port": 80, "name": "a", "nodePort": 30000}, {"port": 81, "name": "b", "nodePort": 30000}],
        },
        ["spec.ports[1].nodePort: Duplicate value: 30000"],
    ),
    (
        {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    ),
    (
        {"clusterIP": "x", "clusterIPs": ["x"]},
        ['spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ),
    (
        {"clusterIPs": ["10.96.0.11"]},
        ['spec.clusterIPs: Invalid value: ["10.96.0.11"]: first value must match `clusterIP`'],
    ),
    (
        {"ipFamilies": ["IPv6"]},
        ['spec.clusterIPs[0]: Invalid value: "10.96.0.10": expected an IPv6 value as indicated by `ipFamilies[0]`'],
    ),
    (
        {"type": "ExternalName", "clusterIP": "", "clusterIPs": [], "ipFamilies": [], "ipFamilyPolicy": None},
        ["spec.externalName: Required value"],
    ),
    ({"sessionAffinity": "X"}, ['spec.sessionAffinity: Unsupported value: "X": supported values: "ClientIP", "None"']),
    (
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
        [
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400"
        ],
    ),
    (
        {"externalIPs": ["127.0.0.1"]},
        ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
    ),
    (
        {"externalTrafficPolicy": "Local"},
        ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
    ),
    (
        {"internalTrafficPolicy": "X"},
        ['spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"'],
    ),
    (
        {"trafficDistribution": "X"},
        [
            'spec.trafficDistribution: Unsupported value: "X": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"'
        ],
    ),
    (
        {"loadBalancerSourceRanges": ["1.2.3.4"]},
        [
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
            'spec.LoadBalancerSourceRanges[0]: Invalid value: "1.2.3.4": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
        ],
    ),
    (
        {"loadBalancerClass": "a/b"},
        ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
    ),
    (
        {"healthCheckNodePort": 30000},
        [
            (
                "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
                "`externalTrafficPolicy` is 'Local'"
            )
        ],
    ),
    ({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, ["spec.healthCheckNodePort: Required value"]),
]


@pytest.mark.parametrize(("spec", "lines"), CASES)
def test_specification(spec: dict, lines: list[str]) -> None:
    """Each field of a Service is refused with upstream's path and words."""
    assert found(SERVICES, service(**spec)) == lines


def test_names_start_with_a_letter() -> None:
    """A Service's name becomes a DNS-1035 label."""
    assert found(SERVICES, service(metadata={"name": "1st"})) == [
        (
            'metadata.name: Invalid value: "1st": a DNS-1035 label must consist of lower case alphanumeric characters or '
            "'-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
            "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
        )
    ]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({}, {"selector": {"a": "b"}}, []),
        (
            {},
            {"clusterIP": "10.96.0.11", "clusterIPs": ["10.96.0.11"]},
            ['spec.clusterIPs[0]: Invalid value: ["10.96.0.11"]: may not change once set'],
        ),
        (
            {},
            {"clusterIP": "", "clusterIPs": []},
            ["spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset"],
        ),
        (
            {},
            {
                "type": "ExternalName",
                "externalName": "example.com",
                "clusterIP": "",
                "clusterIPs": [],
                "ipFamilies": [],
                "ipFamilyPolicy": None,
            },
            [],
        ),
        (
            {"type": "LoadBalancer"},
            {"type": "LoadBalancer", "loadBalancerClass": "a/b"},
            ['spec.loadBalancerClass: Invalid value: "a/b": may not change once set'],
        ),
    ],
)
def test_addresses_stay_once_set(before: dict, after: dict, lines: list[str]) -> None:
    """A Service keeps its address as long as it has one."""
    assert found_in_update(SERVICES, service(**after), service(**before)) == lines
