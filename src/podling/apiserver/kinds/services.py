"""Services: cluster addresses and node ports are drawn on create, kept on update, given back on deletion.

What is written into an object that is then refused is given back when the write is over (`Context.afterwards`); the
allocator itself follows the cache.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from podling.api.errors import Cause, internal, invalid
from podling.apiserver.kinds import service_families
from podling.apiserver.kinds.service_changes import (
    drop_outdated,
    follow_primary,
    has_health_check,
    has_node_ports,
    keep_allocated,
)
from podling.apiserver.kinds.strategy import Plain
from podling.apiserver.service_addresses import Full, Refused, ServiceAddresses

if TYPE_CHECKING:
    from podling.apiserver.record import Context


class ServiceStrategy(Plain):
    """Draws what a Service needs from the cluster's ranges."""

    def __init__(self, addresses: ServiceAddresses) -> None:
        super().__init__(status=True)
        self._addresses = addresses

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        tree["status"] = {"loadBalancer": {}}
        follow_primary(tree["spec"], {})
        self._allocate(tree, {}, context)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        super().prepare_update(tree, old, context)
        keep_allocated(tree["spec"], old["spec"])
        follow_primary(tree["spec"], old["spec"])
        drop_outdated(tree["spec"], old["spec"])
        self._allocate(tree, old["spec"], context)

    def _allocate(self, tree: dict[str, Any], before: dict[str, Any], context: Context) -> None:
        spec = tree["spec"]
        kind = spec.get("type", "ClusterIP")
        if kind == "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if not spec.get(key):
                    spec.pop(key, None)
            return
        if wrong := service_families.choose(spec, before, self._addresses.families):
            raise invalid("", "Service", tree["metadata"].get("name", ""), wrong)
        self._allocate_addresses(tree, spec, before, context)
        wants_ports = kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))
        self._allocate_ports(tree, spec, before, context, draw=wants_ports)

    def _allocate_addresses(
        self, tree: dict[str, Any], spec: dict[str, Any], before: dict[str, Any], context: Context
    ) -> None:
        """Take an address of each family that the Service has come to; what it had it keeps."""
        families, held = spec.get("ipFamilies") or [], before.get("clusterIPs") or []
        addresses: list[str] = list(spec.get("clusterIPs") or ())
        grows = len(before.get("ipFamilies") or ()) == 1 < len(families)
        if "None" in {*addresses[:1], *held[:1]} or (held and not grows):
            return  # a change of what is held is for validation to judge
        addresses += [""] * (len(families) - len(addresses))
        for number in range(len(held[:1]), len(families)):
            addresses[number] = self._take_address(tree, families[number], addresses, addresses[number], context)
        spec["clusterIPs"], spec["clusterIP"] = addresses, addresses[0]

    def _take_address(
        self, tree: dict[str, Any], family: str, addresses: list[str], wanted: str, context: Context
    ) -> str:
        owner = self._addresses.range_of(family)
        try:
            address = owner.take(wanted)
        except Refused as refusal:
            value = json.dumps(addresses, separators=(",", ":"))
            raise _invalid(tree, "spec.clusterIPs", f"Invalid value: {value}: {refusal}") from None
        except Full:
            raise internal("failed to allocate a serviceIP: range is full") from None
        context.afterwards.append(lambda: owner.release(address))
        return address

    def _allocate_ports(
        self, tree: dict[str, Any], spec: dict[str, Any], before: dict[str, Any], context: Context, *, draw: bool
    ) -> None:
        held = {port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
        here: dict[int, str] = {}
        numbers = {port.get("port"): port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
        for index, port in enumerate(spec.get("ports") or ()):
            wanted, protocol = port.get("nodePort") or 0, port.get("protocol", "TCP")
            if not wanted and not draw:
                continue
            if not wanted and has_node_ports(spec) and port.get("port") in numbers:
                wanted = port["nodePort"] = numbers[port["port"]]  # as the other protocol of this very port has it
            if wanted and (wanted in held or here.get(wanted, protocol) != protocol):
                here[wanted] = protocol  # one number may serve TCP and UDP of the same Service
                continue
            if not has_node_ports(spec):
                continue  # validation names it
            port["nodePort"] = self._take_port(tree, f"spec.ports[{index}].nodePort", wanted, context)
            here[port["nodePort"]] = protocol
            numbers.setdefault(port.get("port"), port["nodePort"])
        if has_health_check(spec):
            wanted = spec.get("healthCheckNodePort") or 0
            if not wanted or wanted != before.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = self._take_port(tree, "spec.healthCheckNodePort", wanted, context)

    def _take_port(self, tree: dict[str, Any], field: str, wanted: int, context: Context) -> int:
        try:
            port = self._addresses.take_port(wanted)
        except Refused as refusal:
            raise _invalid(tree, field, f"Invalid value: {wanted}: {refusal}") from None
        except Full:
            raise internal("failed to allocate a nodePort: range is full") from None
        context.afterwards.append(lambda: self._addresses.give_port(port))
        return port


def _invalid(tree: dict[str, Any], field: str, message: str) -> Exception:
    name = tree["metadata"].get("name", "")
    return invalid("", "Service", name, [Cause("FieldValueInvalid", message, field)])
