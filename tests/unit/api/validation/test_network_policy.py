"""What a NetworkPolicy may say."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podling.api import defaults, validation
from podling.api.resources import NETWORK_POLICIES

from .objects import found, found_in_update


def policy(**spec: Any) -> dict[str, Any]:
    """A defaulted policy."""
    tree = {"metadata": {"name": "p", "namespace": "default", "resourceVersion": "1"}, "spec": copy.deepcopy(spec)}
    defaults.apply(NETWORK_POLICIES, tree)
    return tree


I0, E0 = "spec.ingress[0]", "spec.egress[0]"
PORT = f"{I0}.ports[0].port"
END = f"{I0}.ports[0].endPort"
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
WITHIN = "must be a strict subset of `cidr`"
BETWEEN = "must be between 1 and 65535, inclusive"


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({}, []),
        ({"podSelector": {}, "ingress": [{}], "egress": [{}]}, []),
        ({"ingress": [{"ports": [{"port": 80, "endPort": 80}, {"port": "http"}, {"protocol": "SCTP"}]}]}, []),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]}, []),
        ({"ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {}}]}]}, []),
        ({"ingress": [{"ports": [{"port": 0}]}]}, [f"{PORT}: Invalid value: 0: {BETWEEN}"]),
        ({"ingress": [{"ports": [{"port": 65536}]}]}, [f"{PORT}: Invalid value: 65536: {BETWEEN}"]),
        (
            {"ingress": [{"ports": [{"port": 90, "endPort": 80}]}]},
            [f"{END}: Invalid value: 90: must be greater than or equal to `port`"],
        ),
        ({"ingress": [{"ports": [{"port": 90, "endPort": 70000}]}]}, [f"{END}: Invalid value: 70000: {BETWEEN}"]),
        (
            {"ingress": [{"ports": [{"port": 90, "endPort": -1}]}]},
            [
                f"{END}: Invalid value: 90: must be greater than or equal to `port`",
                f"{END}: Invalid value: -1: {BETWEEN}",
            ],
        ),
        (
            {"ingress": [{"ports": [{"port": "http", "endPort": 80}]}]},
            [f"{END}: Invalid value: 80: may not be specified when `port` is non-numeric"],
        ),
        (
            {"ingress": [{"ports": [{"endPort": 80}]}]},
            [f"{END}: Invalid value: 80: may not be specified when `port` is not specified"],
        ),
        (
            {"ingress": [{"ports": [{"port": "no_name"}]}]},
            [f'{PORT}: Invalid value: "no_name": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)'],
        ),
        (
            {"ingress": [{"ports": [{"protocol": "ICMP"}]}]},
            [f'{I0}.ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"'],
        ),
        ({"ingress": [{"from": [{}]}]}, [f"{I0}.from[0]: Required value: must specify a peer"]),
        ({"egress": [{"to": [{}]}]}, [f"{E0}.to[0]: Required value: must specify a peer"]),
        (
            {"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
            [f"{E0}.to[0]: Forbidden: may not specify both ipBlock and another peer"],
        ),
        ({"egress": [{"to": [{"ipBlock": {"cidr": ""}}]}]}, [f"{E0}.to[0].ipBlock.cidr: Required value"]),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/33", "except": ["x"]}}]}]},
            [f'{E0}.to[0].ipBlock.cidr: Invalid value: "10.0.0.0/33": {CIDR}'],
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x", "10.0.0.0/8", "11.0.0.0/16", "::/0"]}}]}]},
            [
                f'{E0}.to[0].ipBlock.except[0]: Invalid value: "x": {CIDR}',
                f'{E0}.to[0].ipBlock.except[1]: Invalid value: "10.0.0.0/8": {WITHIN}',
                f'{E0}.to[0].ipBlock.except[2]: Invalid value: "11.0.0.0/16": {WITHIN}',
                f'{E0}.to[0].ipBlock.except[3]: Invalid value: "::/0": {WITHIN}',
            ],
        ),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}},
            [
                'spec.podSelector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
            ],
        ),
        (
            {"ingress": [{"from": [{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]}]},
            [
                (
                    f"{I0}.from[0].namespaceSelector.matchExpressions[0].values: Required value: must be specified when "
                    "`operator` is 'In' or 'NotIn'"
                )
            ],
        ),
        (
            {"policyTypes": ["Ingress", "Sideways"]},
            ['spec.policyTypes[1]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"'],
        ),
        (
            {"policyTypes": ["Ingress", "Egress", "Ingress"]},
            [
                (
                    'spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two '
                    "policyTypes"
                )
            ],
        ),
    ],
)  # fmt: skip
def test_what_a_policy_may_say(spec: dict[str, Any], lines: list[str]) -> None:
    """Impossible ports, ranges, blocks, peers and directions are refused in upstream's words, on update too."""
    assert found(NETWORK_POLICIES, policy(**spec)) == lines
    assert found_in_update(NETWORK_POLICIES, policy(**spec), policy()) == lines


def test_ambiguous_blocks_are_warned_of() -> None:
    """A block with bits behind its prefix is taken, with a warning."""
    block = {"cidr": "10.1.2.3/8", "except": ["10.2.2.2/16"]}
    made = policy(ingress=[{"from": [{"ipBlock": block}]}])
    assert found(NETWORK_POLICIES, made) == []
    said = validation.warnings(NETWORK_POLICIES, made)
    assert [line.partition(":")[0] for line in said] == [
        "spec.ingress[0].from[0].ipBlock.cidr",
        "spec.ingress[0].from[0].ipBlock.except[0]",
    ]
