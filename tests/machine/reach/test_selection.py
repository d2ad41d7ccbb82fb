"""Which endpoints a node's proxy sends new connections to."""

from __future__ import annotations

import pytest

from podling.api.codec import from_tree
from podling.api.types.discovery_v1 import EndpointSlice
from podling.reach.selection import Target, choose, standing
from tests.machine.reach.reached import service


def one(address, state="ready", node="n1", zones=(), nodes=(), uid=""):
    ready, serving, terminating = {
        "ready": (True, True, False),
        "unready": (False, False, False),
        "leaving": (False, True, True),
        "dying": (False, False, True),
        "silent": (None, None, None),
    }[state]
    hints = {"forZones": [{"name": z} for z in zones], "forNodes": [{"name": n} for n in nodes]}
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    return {
        "addresses": [address],
        "nodeName": node,
        "conditions": {name: value for name, value in conditions.items() if value is not None},
        **({"hints": {name: value for name, value in hints.items() if value}} if zones or nodes else {}),
        **({"targetRef": {"kind": "Pod", "uid": uid}} if uid else {}),
    }


def cut(*endpoints, port=8080, name="http", protocol="TCP", family="IPv4", revision="1"):
    tree = {
        "metadata": {"name": "web-1", "namespace": "default", "resourceVersion": revision},
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": name, "port": port, "protocol": protocol}],
    }
    return from_tree(EndpointSlice, tree)


def chosen(slices, node="n1", zone="", **spec):
    web = service(**spec)
    found = choose(web, web.spec.ports[0], slices, node, zone=zone)
    return [t.address for t in found.cluster], [t.address for t in found.local], found.exists


EXTERNALLY_LOCAL = {"type": "NodePort", "externalTrafficPolicy": "Local"}
INTERNALLY_LOCAL = {"internalTrafficPolicy": "Local"}


@pytest.mark.parametrize(
    ("endpoints", "spec", "expected"),
    [
        ([], {}, ([], [], False)),
        ([one("b"), one("fd00::1")], {}, ([], [], False)),  # no addresses of the family: hostile slices change nothing
        ([one("10.0.0.2"), one("10.0.0.1", "silent")], {}, (["10.0.0.1", "10.0.0.2"], [], True)),
        ([one("10.0.0.1", "unready")], {}, ([], [], False)),
        ([one("10.0.0.1"), one("10.0.0.2", "leaving")], {}, (["10.0.0.1"], [], True)),
        ([one("10.0.0.1", "unready"), one("10.0.0.2", "leaving")], {}, (["10.0.0.2"], [], True)),
        ([one("10.0.0.1", "dying")], {}, ([], [], False)),
        ([one("10.0.0.1"), one("10.0.0.2", node="n2")], INTERNALLY_LOCAL, ([], ["10.0.0.1"], True)),
        ([one("10.0.0.2", node="n2")], INTERNALLY_LOCAL, ([], [], True)),
        ([one("10.0.0.1", "leaving"), one("10.0.0.2", node="n2")], INTERNALLY_LOCAL, ([], ["10.0.0.1"], True)),
        (
            [one("10.0.0.1"), one("10.0.0.2", node="n2")],
            EXTERNALLY_LOCAL,
            (["10.0.0.1", "10.0.0.2"], ["10.0.0.1"], True),
        ),
        ([one("10.0.0.2", node="n2")], EXTERNALLY_LOCAL, (["10.0.0.2"], [], True)),
        ([one("10.0.0.1")], {"externalTrafficPolicy": "Local"}, (["10.0.0.1"], [], True)),  # of no external address
        (
            [one("10.0.0.1"), one("10.0.0.2", node="n2")],
            INTERNALLY_LOCAL | EXTERNALLY_LOCAL,
            (["10.0.0.1", "10.0.0.2"], ["10.0.0.1"], True),
        ),
    ],
)  # fmt: skip
def test_choice(endpoints, spec, expected):
    """Ready ones, else those that leave and still serve; Local policies choose on the node, and know of others."""
    assert chosen([cut(*endpoints)], **spec) == expected


def test_hints_narrow_the_choice_only_when_every_ready_endpoint_has_one():
    """Same node before same zone; a ready endpoint without a hint, or none for this place, and all are chosen."""
    near, far = one("10.0.0.1", zones="a", nodes=("n1",)), one("10.0.0.2", node="n2", zones="b", nodes=("n2",))
    plain = one("10.0.0.3")
    assert chosen([cut(near, far)])[0] == ["10.0.0.1"]
    assert chosen([cut(near, far)], node="n9", zone="b")[0] == ["10.0.0.2"]
    assert chosen([cut(near, far)], node="n9", zone="c")[0] == ["10.0.0.1", "10.0.0.2"]
    assert chosen([cut(near, far, plain)])[0] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    unready = one("10.0.0.3", "unready")
    assert chosen([cut(near, far, unready)])[0] == ["10.0.0.1"]


def test_ports_go_by_name_and_protocol_and_slices_may_overlap():
    """An endpoint in two slices is chosen once, the ready one; other families, names and protocols are not ours."""
    web = service()
    slices = [
        cut(one("10.0.0.1", "unready")),
        cut(one("10.0.0.1"), one("10.0.0.2", node="n2")),
        cut(one("10.0.0.1"), port=9090),
        cut(one("10.0.0.4"), name="other"),
        cut(one("10.0.0.5"), protocol="UDP"),
        cut(one("fd00::1"), family="IPv6"),
    ]
    found = choose(web, web.spec.ports[0], slices, "n1")
    assert found.cluster == (
        Target("10.0.0.1", 8080, True), Target("10.0.0.1", 9090, True), Target("10.0.0.2", 8080)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([one("10.0.0.2", uid="other")], (False, False, 0)),  # no endpoint of this Service
        ([one("10.0.0.1", uid="me"), one("10.0.0.2", uid="other")], (True, True, 7)),  # not marked yet
        ([one("10.0.0.1", "leaving", uid="me"), one("10.0.0.2", uid="other")], (True, False, 7)),
        ([one("10.0.0.1", "leaving", uid="me"), one("10.0.0.2", "leaving", uid="other")], (False, False, 7)),
        ([one("10.0.0.1", "leaving", uid="me")], (False, False, 7)),
    ],
)
def test_standing(endpoints, expected):
    """A Pod that goes waits where another ready endpoint takes over, until the slices offer it no more."""
    found = standing([cut(*endpoints, revision="7")], "me")
    assert (found.is_missed, found.is_chosen, found.revision) == expected


def test_one_that_is_published_though_it_goes_is_not_waited_for():
    """With publishNotReadyAddresses a terminating endpoint stays ready: no proxy will let it go."""
    kept = one("10.0.0.1", uid="me")
    kept["conditions"] = {"ready": True, "serving": True, "terminating": True}
    assert not standing([cut(kept, one("10.0.0.2", uid="other"))], "me").is_missed
