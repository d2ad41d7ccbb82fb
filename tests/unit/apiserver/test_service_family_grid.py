"""Every way in which a new Service may speak of addresses, families and their policy, on each kind of cluster.

The table is upstream's behaviour, cell by cell: the policy's first letter and the families that come of it, `-` where the
Service is refused. Each of the four blocks is one policy (none given, SingleStack, PreferDualStack, RequireDualStack),
its columns what families are named: none, IPv4, IPv6, both in either order.
"""

from __future__ import annotations

import pytest
from tests.served import Served

from podling.api.errors import StatusError

PATH = "/api/v1/namespaces/default/services"
RANGES = {"4": "10.96.0.0/16", "6": "fd00:10:96::/112"}
ADDRESSES = {"4": "10.96.0.77", "6": "fd00:10:96::4d"}
POLICIES = (None, "SingleStack", "PreferDualStack", "RequireDualStack")
FAMILIES = ("", "4", "6", "46", "64")

# cluster, clusterIPs (headless: with and without a selector)
GRID = """
4  none      S4  S4  -   -   -   | S4  S4  -   -   -   | P4  P4  -   -   -   | -   -   -   -   -
4  4         S4  S4  -   -   -   | S4  S4  -   -   -   | P4  P4  -   -   -   | -   -   -   -   -
4  6         -   -   -   -   -   | -   -   -   -   -   | -   -   -   -   -   | -   -   -   -   -
4  46        -   -   -   -   -   | -   -   -   -   -   | -   -   -   -   -   | -   -   -   -   -
4  64        -   -   -   -   -   | -   -   -   -   -   | -   -   -   -   -   | -   -   -   -   -
4  selected  S4  S4  -   -   -   | S4  S4  -   -   -   | P4  P4  -   -   -   | -   -   -   -   -
4  free      R46 R46 R64 R46 R64 | S4  S4  S6  -   -   | P46 P46 P64 P46 P64 | R46 R46 R64 R46 R64
46 none      S4  S4  S6  -   -   | S4  S4  S6  -   -   | P46 P46 P64 P46 P64 | R46 R46 R64 R46 R64
46 4         S4  S4  -   -   -   | S4  S4  -   -   -   | P46 P46 -   P46 -   | R46 R46 -   R46 -
46 6         S6  -   S6  -   -   | S6  -   S6  -   -   | P64 -   P64 -   P64 | R64 -   R64 -   R64
46 46        -   -   -   -   -   | -   -   -   -   -   | P46 P46 -   P46 -   | R46 R46 -   R46 -
46 64        -   -   -   -   -   | -   -   -   -   -   | P64 -   P64 -   P64 | R64 -   R64 -   R64
46 selected  S4  S4  S6  -   -   | S4  S4  S6  -   -   | P46 P46 P64 P46 P64 | R46 R46 R64 R46 R64
46 free      R46 R46 R64 R46 R64 | S4  S4  S6  -   -   | P46 P46 P64 P46 P64 | R46 R46 R64 R46 R64
64 none      S6  S4  S6  -   -   | S6  S4  S6  -   -   | P64 P46 P64 P46 P64 | R64 R46 R64 R46 R64
64 4         S4  S4  -   -   -   | S4  S4  -   -   -   | P46 P46 -   P46 -   | R46 R46 -   R46 -
64 6         S6  -   S6  -   -   | S6  -   S6  -   -   | P64 -   P64 -   P64 | R64 -   R64 -   R64
64 46        -   -   -   -   -   | -   -   -   -   -   | P46 P46 -   P46 -   | R46 R46 -   R46 -
64 64        -   -   -   -   -   | -   -   -   -   -   | P64 -   P64 -   P64 | R64 -   R64 -   R64
64 selected  S6  S4  S6  -   -   | S6  S4  S6  -   -   | P64 P46 P64 P46 P64 | R64 R46 R64 R46 R64
64 free      R64 R46 R64 R46 R64 | S6  S4  S6  -   -   | P64 P46 P64 P46 P64 | R64 R46 R64 R46 R64
"""
ROWS = [line.split() for line in GRID.split("\n") if line]


def asked(addresses, policy, families):
    spec = {"ports": [{"port": 80}]}
    if addresses != "free":
        spec["selector"] = {"app": "web"}
    if addresses in {"selected", "free"}:
        spec["clusterIP"] = "None"
    elif addresses != "none":
        spec["clusterIPs"] = [ADDRESSES[each] for each in addresses]
        spec["clusterIP"] = spec["clusterIPs"][0]
    if policy is not None:
        spec["ipFamilyPolicy"] = policy
    if families:
        spec["ipFamilies"] = [f"IPv{each}" for each in families]
    return {"metadata": {"name": "web"}, "spec": spec}


async def outcome(api, service):
    try:
        made = (await api.post(PATH, service))["spec"]
    except StatusError as refusal:
        assert refusal.code == 422, refusal.message  # noqa: PT017
        return "-"
    await api.delete(f"{PATH}/web")
    headless = made["clusterIPs"] == ["None"]
    given = made["ipFamilies"] if headless else [f"IPv{6 if ':' in each else 4}" for each in made["clusterIPs"]]
    assert given == made["ipFamilies"]
    return made["ipFamilyPolicy"][0] + "".join(each[-1] for each in given)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"cluster {row[0]}, addresses {row[1]}")
def test_what_a_new_service_gets(run, row):
    cluster, addresses, *cells = row

    async def main():
        async with Served(service_cidrs=[RANGES[each] for each in cluster]) as api:
            found = []
            for policy in POLICIES:
                found += [await outcome(api, asked(addresses, policy, families)) for families in FAMILIES] + ["|"]
            assert found[:-1] == cells

    run(main())
