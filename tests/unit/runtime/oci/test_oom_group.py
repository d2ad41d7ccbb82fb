"""What the low-level runtime is told about running out of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from podling.runtime.oci import spec
from podling.runtime.oci.users import User
from podling.runtime.protocol import ContainerConfig, Image, ImageId, Resources, SandboxConfig

IMAGE = Image(ImageId("sha256:0"), (), (), 0, command=("sh",))
SANDBOX = SandboxConfig("u", "d", "p", 0, "p", Path("/logs"), "/kubepods/podu")


@pytest.mark.parametrize("unified", [True, False])
def test_a_container_dies_as_a_whole_where_the_kernel_can(unified: bool) -> None:
    """On cgroup version 2 the group is the unit that runs out of memory; version 1 knows no such thing."""
    config = ContainerConfig("c", 0, IMAGE.id, "busybox", resources=Resources(memory_limit=1 << 20, oom_score_adj=900))
    around = spec.Surroundings("/root", "/kubepods/podu/c", {}, User(0, 0, ()), "", oom_group=unified)
    built = spec.build(SANDBOX, config, IMAGE, around)
    assert built["linux"]["resources"].get("unified") == ({"memory.oom.group": "1"} if unified else None)
    assert built["linux"]["resources"]["memory"]["limit"] == 1 << 20
    assert built["process"]["oomScoreAdj"] == 900


def test_a_score_that_the_kernel_would_refuse_is_raised_to_what_it_allows() -> None:
    """Without the right to lower it, a container gets the lowest score that this machine allows."""
    config = ContainerConfig("c", 0, IMAGE.id, "busybox", resources=Resources(oom_score_adj=-997))
    around = spec.Surroundings("/root", "/g", {}, User(0, 0, ()), "", oom_score_floor=0)
    assert spec.build(SANDBOX, config, IMAGE, around)["process"]["oomScoreAdj"] == 0
