"""IPAddresses that others than the allocator make: they take an address out of the cluster's ranges.

Owns that no address is taken twice: one that a Service holds, or somebody else, exists already. Those that the server
makes of Services' addresses (`service_ips`) take nothing: the Services do. What a write has taken is given back when it
is over; the allocator follows the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.errors import already_exists
from podling.api.resources import IP_ADDRESSES
from podling.apiserver.kinds.strategy import Plain
from podling.apiserver.service_addresses import is_allocated

if TYPE_CHECKING:
    from podling.apiserver.record import Context
    from podling.apiserver.service_addresses import ServiceAddresses


class IpAddressStrategy(Plain):
    """Takes what is made by hand out of the ranges."""

    def __init__(self, addresses: ServiceAddresses) -> None:
        super().__init__()
        self._addresses = addresses

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        metadata = tree["metadata"]
        owner = self._addresses.range_with(metadata["name"])
        if owner is None or is_allocated(metadata.get("labels") or {}):
            return
        address = metadata["name"]
        if not owner.is_free(address):
            raise already_exists(IP_ADDRESSES.group, IP_ADDRESSES.plural, address)
        owner.hold(address)
        context.afterwards.append(lambda: owner.release(address))
