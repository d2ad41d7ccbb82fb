"""Which names there are: the records of Services, Pods and addresses, by the Kubernetes DNS specification 1.1.0.

Owns the cluster's zone as a value that follows single Services; knows no packets. Names are lower-case and without the
last dot.

    NAME.NAMESPACE.svc.ZONE            A, AAAA: cluster addresses; headless: the ready endpoints; ExternalName: CNAME
    _PORT._PROTO.NAME.NAMESPACE.svc…   SRV: to the Service, or to each ready endpoint of a headless one
    HOSTNAME.NAME.NAMESPACE.svc…       A, AAAA: an endpoint; where it has no hostname, its address with dashes
    A-B-C-D.NAMESPACE.pod.ZONE         A: the address that is written there, in a namespace that exists
    A-B--C.NAMESPACE.pod.ZONE          AAAA: the same of IPv6, with dashes for colons
    D.C.B.A.in-addr.arpa, ….ip6.arpa   PTR: the Service of a cluster address, the endpoint of a headless one
    dns-version.ZONE                   TXT

Invariants: a Service's names go when it goes; a name between others (`svc.ZONE`) exists and has no records; a headless
Service without a ready endpoint has no name, as the specification asks.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from podling.api.validation.addresses import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podling.api.types.core_v1 import Service
    from podling.api.types.discovery_v1 import Endpoint, EndpointSlice

VERSION: Final = "1.1.0"
_WEIGHT: Final = 100
"""What the weights of a name's SRV records come to together."""

Data: TypeAlias = "str | tuple[int, int, int, str]"
"""An address, a name or a text; of SRV priority, weight, port and target."""

_Owner: TypeAlias = tuple[str, str]
_Records: TypeAlias = "dict[str, dict[Data, None]]"


class Record(Struct, frozen=True, gc=False):
    """One resource record, without its time to live."""

    name: str
    kind: str
    data: Data


class Found(Struct, frozen=True, gc=False):
    """What is known of a name: whether it exists, and its records of the kind asked for."""

    exists: bool
    records: tuple[Record, ...] = ()
    more: tuple[Record, ...] = ()
    """Addresses of the names that `records` lead to."""


NOTHING: Final = Found(exists=False)
_BARE: Final = Found(exists=True)


class Zone:
    """The names of one cluster."""

    def __init__(self, domain: str = "cluster.local", servers: Iterable[str] = ()) -> None:
        """`servers` are the addresses of who answers for the zone."""
        self.domain = domain
        self.version = 0
        """Grows with each change, so that answers can be kept until the next."""
        self._names: dict[str, _Records] = {}
        self._between: dict[str, int] = {}
        self._owned: dict[_Owner, dict[str, _Records]] = {}
        self._namespaces: dict[str, None] = {}
        self._reverse: dict[str, dict[_Owner, dict[Data, None]]] = {}
        own: dict[str, _Records] = {
            domain: {"NS": {f"ns.dns.{domain}": None}},
            f"dns-version.{domain}": {"TXT": {VERSION: None}},
        }
        for server in servers:
            _put(own, f"ns.dns.{domain}", _kind(server), server)
        self._add(own)
        for name in (f"svc.{domain}", f"pod.{domain}"):
            self._between[name] = 1

    def inside(self, name: str) -> bool:
        """Whether a name is the zone's, or an address that some name of it has."""
        domain = self.domain
        return name == domain or name.endswith(f".{domain}") or name in self._reverse

    # Following the cluster.

    def put_namespace(self, name: str) -> None:
        if name not in self._namespaces:
            self._namespaces[name] = None
            self.version += 1
            for kind in ("svc", "pod"):
                self._count(f"{name}.{kind}.{self.domain}", 1)

    def drop_namespace(self, name: str) -> None:
        if name in self._namespaces:
            del self._namespaces[name]
            self.version += 1
            for kind in ("svc", "pod"):
                self._count(f"{name}.{kind}.{self.domain}", -1)

    def put_service(self, service: Service, slices: Iterable[EndpointSlice]) -> None:
        """Take in a Service as it is now, with all of its slices."""
        owner = (service.metadata.namespace, service.metadata.name)
        names, reverse = _of(service, slices, f"{owner[1]}.{owner[0]}.svc.{self.domain}")
        if self._owned.get(owner) == names:
            return
        self.drop_service(*owner)
        self.version += 1
        self._owned[owner] = names
        self._add(names)
        for address, targets in reverse.items():
            self._reverse.setdefault(ip_address(address).reverse_pointer, {})[owner] = targets

    def drop_service(self, namespace: str, name: str) -> None:
        owner = (namespace, name)
        names = self._owned.pop(owner, None)
        if names is None:
            return
        self.version += 1
        for each in names:
            del self._names[each]
            for above in self._above(each):
                self._count(above, -1)
        for records in names.values():
            for address in (*records.get("A", ()), *records.get("AAAA", ())):
                pointer = ip_address(str(address)).reverse_pointer
                held = self._reverse.get(pointer)
                if held is not None and held.pop(owner, None) is not None and not held:
                    del self._reverse[pointer]

    def _add(self, names: dict[str, _Records]) -> None:
        for name, records in names.items():
            self._names[name] = records
            for above in self._above(name):
                self._count(above, 1)

    def _above(self, name: str) -> Iterator[str]:
        """Yield the names between a name and the zone's own."""
        rest = name.partition(".")[2]
        while rest != self.domain and rest.endswith(self.domain):
            yield rest
            rest = rest.partition(".")[2]

    def _count(self, name: str, by: int) -> None:
        left = self._between.get(name, 0) + by
        if left:
            self._between[name] = left
        else:
            self._between.pop(name, None)

    # Answering.

    def find(self, name: str, kind: str) -> Found:
        """Return what the zone knows of `name`, which must be `inside` it."""
        records = self._names.get(name)
        if records is None:
            pointers = self._reverse.get(name)
            if pointers is not None:
                return self._pointed(name, pointers, kind)
            if name in self._between:
                return _BARE
            return self._pod(name, kind) if name.endswith(f".pod.{self.domain}") else NOTHING
        alias = records.get("CNAME")
        if alias is not None:
            return Found(exists=True, records=(Record(name, "CNAME", next(iter(alias))),))
        found = records.get(kind, ())
        return Found(
            exists=True,
            records=tuple(Record(name, kind, data) for data in found),
            more=self._targets(found) if kind == "SRV" else (),
        )

    def _targets(self, found: Iterable[Data]) -> tuple[Record, ...]:
        names = dict.fromkeys(data[3] for data in found if isinstance(data, tuple))
        return tuple(
            Record(name, kind, data)
            for name in names
            for kind in ("A", "AAAA")
            for data in self._names.get(name, {}).get(kind, ())
        )

    def _pointed(self, name: str, pointers: dict[_Owner, dict[Data, None]], kind: str) -> Found:
        if kind != "PTR":
            return _BARE
        return Found(
            exists=True, records=tuple(Record(name, "PTR", data) for each in pointers.values() for data in each)
        )

    def _pod(self, name: str, kind: str) -> Found:
        labels = name.removesuffix(f".pod.{self.domain}").split(".")
        if len(labels) != 2 or labels[1] not in self._namespaces or "%" in labels[0]:
            return NOTHING
        text = labels[0].replace("-", "." if labels[0].count("-") == 3 and "--" not in labels[0] else ":")
        try:
            address = str(ip_address(text))
        except ValueError:
            return NOTHING
        own = _kind(address)
        return Found(exists=True, records=(Record(name, own, address),) if kind == own else ())


def _dashed(address: str) -> str:
    """Return an address as a label: as upstream has it, with a zero where it would end in a dash, as none may."""
    label = address.replace(".", "-").replace(":", "-")
    return f"{label}0" if label.endswith("-") else label


def _kind(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _of(
    service: Service, slices: Iterable[EndpointSlice], base: str
) -> tuple[dict[str, _Records], dict[str, dict[Data, None]]]:
    """Return the records of one Service by name, and the names that its addresses lead back to."""
    names: dict[str, _Records] = {}
    reverse: dict[str, dict[Data, None]] = {}
    spec = service.spec
    if spec.type == "ExternalName":
        return {base: {"CNAME": {spec.external_name.lower().rstrip("."): None}}}, reverse
    addresses = [canonical(each) for each in spec.cluster_ips or (spec.cluster_ip,) if each not in ("", "None")]
    if addresses:
        for address in addresses:
            _put(names, base, _kind(address), address)
            reverse[address] = {base: None}
        for port in spec.ports:
            if port.name:
                where = f"_{port.name}._{(port.protocol or 'TCP').lower()}.{base}".lower()
                _put(names, where, "SRV", (0, _WEIGHT, port.port, base))
        return names, reverse
    if spec.cluster_ip != "None":
        return {}, {}  # not yet allocated, which the API never shows
    targets: dict[str, dict[tuple[int, str], None]] = {}
    for each in slices:
        for endpoint in each.endpoints if each.address_type in ("IPv4", "IPv6") else ():
            if not _is_published(endpoint):
                continue
            for address in map(canonical, endpoint.addresses):
                name = f"{endpoint.hostname or _dashed(address)}.{base}"
                _put(names, base, _kind(address), address)
                _put(names, name, _kind(address), address)
                reverse.setdefault(address, {})[name] = None
                for held in each.ports:
                    if held.name and held.port:
                        where = f"_{held.name}._{(held.protocol or 'TCP').lower()}.{base}".lower()
                        targets.setdefault(where, {})[held.port, name] = None
    for where, found in targets.items():
        weight = max(_WEIGHT // len(found), 1)
        for number, name in found:
            _put(names, where, "SRV", (0, weight, number, name))
    return names, reverse


def _is_published(endpoint: Endpoint) -> bool:
    conditions = endpoint.conditions
    return conditions is None or conditions.ready is not False


def _put(names: dict[str, _Records], name: str, kind: str, data: Data) -> None:
    names.setdefault(name, {}).setdefault(kind, {})[data] = None
