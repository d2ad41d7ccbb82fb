"""How Services are counted: each, its node ports, and whether it asks for a load balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.quantity import Quantity
from podling.api.resources import SERVICES
from podling.quota.amounts import ONE, ZERO
from podling.quota.evaluator import Counted, count_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import Service
    from podling.quota.amounts import Amounts

_PORTS: Final = "services.nodeports"
_BALANCERS: Final = "services.loadbalancers"


class ServiceEvaluator(Counted):
    """Upstream's evaluator of Services."""

    def __init__(self) -> None:
        super().__init__(SERVICES)

    def handles(self, verb: str, subresource: str) -> bool:
        return verb in {"CREATE", "UPDATE"} and not subresource

    def matching(self, names: Iterable[str]) -> list[str]:
        return sorted({"services", count_name(SERVICES), _PORTS, _BALANCERS} & set(names))

    def usage(self, obj: Service, now: float) -> Amounts:
        spec, balancers, ports = obj.spec, ZERO, 0
        # What will be allocated counts, not what is: the ports of a new Service are not there yet.
        match spec.type:
            case "NodePort":
                ports = len(spec.ports)
            case "LoadBalancer":
                balancers, ports = ONE, len(spec.ports)
                if spec.allocate_load_balancer_node_ports is False:
                    ports = len([port for port in spec.ports if port.node_port])
        return {**super().usage(obj, now), _PORTS: Quantity(ports * ONE.nano), _BALANCERS: balancers}
