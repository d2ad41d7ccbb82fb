"""What a Pod asks of its wiring: bounds of bandwidth as upstream takes them, ports on the node."""

from __future__ import annotations

import pytest

from podling.api.pods import HostPort
from podling.api.types.core_v1 import Container, ContainerPort, Pod, PodSpec
from podling.api.types.meta_v1 import ObjectMeta
from podling.lifecycle.traffic import EGRESS, INGRESS, Traffic, traffic_of


def pod(annotations: dict[str, str], *containers: Container, init: tuple[Container, ...] = ()) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="a", annotations=annotations),
        spec=PodSpec(containers=containers, init_containers=init),
    )


def test_bounds_are_bits_a_second() -> None:
    """Quantities of bits, each way by itself; the least and the most that are taken are taken."""
    assert traffic_of(pod({})) == Traffic()
    assert traffic_of(pod({INGRESS: "10M"})) == Traffic(ingress=10_000_000)
    assert traffic_of(pod({INGRESS: "1k", EGRESS: "1P"})) == Traffic(1_000, 10**15)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.5k", "unreasonably small"),
        ("-1", "unreasonably small"),
        ("2P", "unreasonably large"),
        ("fast", "quantities"),
    ],
)
def test_nonsense_is_refused(text: str, words: str) -> None:
    """Each way, with upstream's words."""
    for name in (INGRESS, EGRESS):
        with pytest.raises(ValueError, match=words):
            traffic_of(pod({name: text}))


def test_ports_on_the_node_are_those_of_what_keeps_running() -> None:
    """Main containers' and sidecars', with the address where one is named; not those of init containers that end."""

    def container(name: str, host_port: int | None, **more: str) -> Container:
        port = ContainerPort(container_port=80, host_port=host_port, protocol="UDP", host_ip=more.pop("host_ip", ""))
        return Container(name=name, ports=(port,), **more)

    asked = pod(
        {},
        container("main", 8080, host_ip="10.0.0.1"),
        container("none", None),
        init=(container("sidecar", 8081, restart_policy="Always"), container("init", 8082)),
    )
    assert traffic_of(asked).ports == (HostPort(8081, 80, "UDP", ""), HostPort(8080, 80, "UDP", "10.0.0.1"))
