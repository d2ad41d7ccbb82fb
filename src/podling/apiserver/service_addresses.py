"""Which cluster addresses and node ports Services hold, and which are free.

Owns what is held of each range: addresses of one family or of both, and ports. It is rebuilt from the cache and follows
it, so that it can never disagree with what is stored for longer than one write; what a write under way has taken is
reserved until that write is over. Knows nothing of requests. The first addresses of a range are left to those who ask
for one by name, as upstream does.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.validation.addresses import Network, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.aio.chance import Chance
    from podling.api.encoded import Encoded

NODE_PORTS = range(30000, 32768)

MANAGED_BY: Final = "ipaddress.kubernetes.io/managed-by"
ALLOCATOR: Final = "ipallocator.k8s.io"


class Refused(Exception):
    """An address or port that was asked for cannot be given; the message is upstream's."""


class Full(Exception):
    """Nothing is free."""


class _Port(msgspec.Struct):
    nodePort: int = 0  # noqa: N815  # the wire's name


class _Spec(msgspec.Struct):
    clusterIPs: list[str] = []  # noqa: N815
    ports: list[_Port] = []
    healthCheckNodePort: int = 0  # noqa: N815


class _Service(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)


_decode = msgspec.json.Decoder(_Service).decode


class Numbers:
    """A set of numbers below `size`, each held by so many holders; drawn at random from those above `reserved`."""

    def __init__(self, size: int, reserved: int, chance: Chance) -> None:
        self._size = size
        self._reserved = reserved
        self._chance = chance
        self._held: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._held

    def hold(self, number: int) -> None:
        self._held[number] = self._held.get(number, 0) + 1

    def release(self, number: int) -> None:
        left = self._held.get(number, 0) - 1
        if left > 0:
            self._held[number] = left
        else:
            self._held.pop(number, None)

    def draw(self) -> int:
        """Return a free number and hold it; `Full` if there is none."""
        for low, high in ((self._reserved, self._size), (0, self._reserved)):
            if high > low:
                start = self._chance.below(high - low)
                for step in range(high - low):
                    number = low + (start + step) % (high - low)
                    if number not in self._held:
                        self.hold(number)
                        return number
        raise Full


def _reserved(size: int) -> int:
    """How many numbers at the bottom of a range are drawn last: upstream's static band."""
    return min(max(16, size // 16), 256) if size > 16 else 0


class AddressRange:
    """The addresses of one range that Services hold."""

    def __init__(self, cidr: str, chance: Chance) -> None:
        self.network = ipaddress.ip_network(cidr)
        self._base = int(self.network.network_address) + 1
        # Neither the network's own address nor, for IPv4, the broadcast address is ever given out.
        self._size = self.network.num_addresses - (2 if self.network.version == 4 else 1)
        self._numbers = Numbers(self._size, _reserved(self._size), chance)

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"

    @property
    def first(self) -> str:
        return str(self.network[1])

    def take(self, wanted: str = "") -> str:
        """Hold an address, the one wanted or any, until `release`; wanted ones are returned as they were written."""
        if not wanted:
            return str(self.network[1 + self._numbers.draw()])
        number = self._number(wanted)
        if number is None:
            raise Refused(
                f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. "
                f"The range of valid IPs is {self.network}"
            )
        if number in self._numbers:
            raise Refused(f"failed to allocate IP {wanted}: provided IP is already allocated")
        self._numbers.hold(number)
        return wanted

    def __contains__(self, address: str) -> bool:
        return self._number(address) is not None

    def is_free(self, address: str) -> bool:
        """Whether an address is of the range and nobody holds it."""
        number = self._number(address)
        return number is not None and number not in self._numbers

    def hold(self, address: str) -> None:
        if (number := self._number(address)) is not None:
            self._numbers.hold(number)

    def release(self, address: str) -> None:
        if (number := self._number(address)) is not None:
            self._numbers.release(number)

    def _number(self, text: str) -> int | None:
        """Where in the range an address is; None where it is not of it."""
        address = parse(text)
        if address is None or address.version != self.network.version:
            return None
        number = int(address) - self._base
        return number if 0 <= number < self._size else None


class ServiceAddresses:
    """The Service address ranges, one or one of each family, and the node port range of one cluster."""

    def __init__(self, cidrs: Sequence[str], chance: Chance) -> None:
        """Take the primary family's range first."""
        self.ranges = tuple(AddressRange(cidr, chance) for cidr in cidrs)
        size = len(NODE_PORTS)
        self._ports = Numbers(size, min(max(16, size // 32), 128), chance)

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(each.network for each in self.ranges)

    @property
    def families(self) -> tuple[str, ...]:
        """Which a Service can have here, the primary one first."""
        return tuple(each.family for each in self.ranges)

    @property
    def first(self) -> str:
        """The address of the `kubernetes` Service."""
        return self.ranges[0].first

    def range_with(self, address: str) -> AddressRange | None:
        """Return the range that gives out an address; None if it is of none."""
        return next((each for each in self.ranges if address in each), None)

    def range_of(self, family: str) -> AddressRange:
        """Return the range of a family that the cluster has."""
        return next(each for each in self.ranges if each.family == family)

    def reserve(self, old: Encoded | None, new: Encoded | None) -> None:
        """Follow one change of a stored IPAddress: one that stands for no Service's address keeps others from it."""
        for seen, count in ((new, AddressRange.hold), (old, AddressRange.release)):
            if seen is not None and not is_allocated(seen.labels):
                for each in self.ranges:
                    count(each, seen.name)

    def replace(self, old: Encoded | None, new: Encoded | None) -> None:
        """Follow one change of a stored Service."""
        if new is not None:
            addresses, ports = _holdings(new)
            for address in addresses:
                for each in self.ranges:
                    each.hold(address)
            for port in ports:
                self._ports.hold(port - NODE_PORTS.start)
        if old is not None:
            addresses, ports = _holdings(old)
            for address in addresses:
                for each in self.ranges:
                    each.release(address)
            for port in ports:
                self._ports.release(port - NODE_PORTS.start)

    def take_port(self, wanted: int = 0) -> int:
        """Hold a node port, the one wanted or any, until `give_port`."""
        if not wanted:
            return NODE_PORTS.start + self._ports.draw()
        if wanted not in NODE_PORTS:
            raise Refused(
                "provided port is not in the valid range. "
                f"The range of valid ports is {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
            )
        if wanted - NODE_PORTS.start in self._ports:
            raise Refused("provided port is already allocated")
        self._ports.hold(wanted - NODE_PORTS.start)
        return wanted

    def give_port(self, port: int) -> None:
        self._ports.release(port - NODE_PORTS.start)


def is_allocated(labels: Mapping[str, str]) -> bool:
    """Whether an IPAddress says of itself that it stands for the cluster address of a Service."""
    return labels.get(MANAGED_BY) == ALLOCATOR


def addresses_of(service: Encoded) -> list[str]:
    """Return the cluster addresses that a stored Service holds."""
    return _addresses(_decode(service.raw).spec)


def _holdings(encoded: Encoded) -> tuple[list[str], list[int]]:
    spec = _decode(encoded.raw).spec
    ports = {port.nodePort for port in spec.ports} | {spec.healthCheckNodePort}
    return _addresses(spec), sorted(ports - {0})


def _addresses(spec: _Spec) -> list[str]:
    return [text for text in spec.clusterIPs if text and text != "None"]
