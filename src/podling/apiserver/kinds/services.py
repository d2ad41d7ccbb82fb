"""Services: cluster addresses and node ports are drawn on create, kept on update, given back on deletion.

What is written into an object that is then refused is given back when the write is over (`Context.afterwards`); the
allocator itself follows the cache.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from podling.api.errors import Cause, internal, invalid
from podling.apiserver.kinds.strategy import Plain
from podling.apiserver.service_addresses import Full, Refused, ServiceAddresses

if TYPE_CHECKING:
    from podling.apiserver.record import Context

_WITH_PORTS = frozenset({"NodePort", "LoadBalancer"})


class ServiceStrategy(Plain):
    """Draws what a Service needs from the cluster's ranges."""

    def __init__(self, addresses: ServiceAddresses) -> None:
        super().__init__(status=True)
        self._addresses = addresses

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        tree["status"] = {"loadBalancer": {}}
        self._allocate(tree, {}, context)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        super().prepare_update(tree, old, context)
        _keep_allocated(tree["spec"], old["spec"])
        self._allocate(tree, old["spec"], context)

    def _allocate(self, tree: dict[str, Any], before: dict[str, Any], context: Context) -> None:
        spec = tree["spec"]
        kind = spec.get("type", "ClusterIP")
        if kind == "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if before or not spec.get(key):
                    spec.pop(key, None)
            return
        self._allocate_address(tree, spec, before, context)
        wants_ports = kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True))
        self._allocate_ports(tree, spec, before, context, draw=wants_ports)

    def _allocate_address(
        self, tree: dict[str, Any], spec: dict[str, Any], before: dict[str, Any], context: Context
    ) -> None:
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        held = before.get("clusterIPs") or []
        if wanted == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", spec.get("clusterIPs") or ["None"]
        elif wanted not in held or not wanted:
            if wanted and not _is_address(wanted):
                return  # validation names it
            try:
                address = self._addresses.take_address(wanted)
            except Refused as refusal:
                value = f'["{wanted}"]'
                raise _invalid(tree, "spec.clusterIPs", f"Invalid value: {value}: {refusal}") from None
            except Full:
                raise internal("failed to allocate a serviceIP: range is full") from None
            context.afterwards.append(lambda: self._addresses.give_address(address))
            spec["clusterIP"] = address
            if not spec.get("clusterIPs"):
                spec["clusterIPs"] = [address]
        elif not spec.get("clusterIPs"):
            spec["clusterIPs"] = [wanted]
        if not spec.get("ipFamilies"):
            family = f"IPv{ipaddress.ip_address(wanted).version}" if _is_address(wanted) else self._addresses.family
            spec["ipFamilies"] = [family]
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _allocate_ports(
        self, tree: dict[str, Any], spec: dict[str, Any], before: dict[str, Any], context: Context, *, draw: bool
    ) -> None:
        held = {port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
        here: dict[int, str] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            wanted, protocol = port.get("nodePort") or 0, port.get("protocol", "TCP")
            if not wanted and not draw:
                continue
            if wanted and (wanted in held or here.get(wanted, protocol) != protocol):
                here[wanted] = protocol  # one number may serve TCP and UDP of the same Service
                continue
            if spec.get("type") not in _WITH_PORTS:
                continue  # validation names it
            port["nodePort"] = self._take_port(tree, f"spec.ports[{index}].nodePort", wanted, context)
            here[port["nodePort"]] = protocol
        if spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
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


def _keep_allocated(spec: dict[str, Any], before: dict[str, Any]) -> None:
    """Fill in, from the stored object, what a caller who never saw the allocations left out."""
    if spec.get("type") == "ExternalName" or before.get("type") == "ExternalName":
        return
    for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if not spec.get(key) and before.get(key):
            spec[key] = before[key]
    if spec.get("type") in _WITH_PORTS and before.get("type") in _WITH_PORTS:
        held = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in before.get("ports") or ()}
        used = {port.get("nodePort") for port in spec.get("ports") or ()}
        for port in spec.get("ports") or ():
            kept = held.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and kept and kept not in used:
                port["nodePort"] = kept
        if not spec.get("healthCheckNodePort") and before.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = before["healthCheckNodePort"]
    elif spec.get("type") not in _WITH_PORTS and before.get("type") in _WITH_PORTS:
        for port, old in zip(spec.get("ports") or (), before.get("ports") or (), strict=False):
            if port.get("nodePort") and port.get("nodePort") == old.get("nodePort"):
                del port["nodePort"]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _invalid(tree: dict[str, Any], field: str, message: str) -> Exception:
    name = tree["metadata"].get("name", "")
    return invalid("", "Service", name, [Cause("FieldValueInvalid", message, field)])
