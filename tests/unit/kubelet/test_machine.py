"""What machine a node is told to be."""

from __future__ import annotations

from podling.kubelet.machine import Machine, share_of


def test_nodes_split_the_machine() -> None:
    """Each gets an equal part, rounded down, and those beside the first are machines of their own to others."""
    capacity = {"cpu": "2", "memory": "3000Ki", "hugepages-2Mi": "0"}
    whole = Machine(machine_id="m", system_uuid="u", memory=3000 << 10, capacity=capacity)
    first, second = share_of(whole, "", 3), share_of(whole, "n-2", 3)
    assert first.capacity == second.capacity == {"cpu": "666m", "memory": "1000Ki", "hugepages-2Mi": "0"}
    assert share_of(whole, "", 2).capacity["cpu"] == "1"
    assert first.memory == 1000 << 10
    assert (first.machine_id, first.system_uuid) == ("m", "u")
    assert second.machine_id != share_of(whole, "n-3", 3).machine_id != "m"
