"""An IPAddress for each cluster address of a Service, for who looks there: upstream's names, labels and reference.

What is allocated never waits for this: the allocator (`service_addresses`) knows by itself, and a Service's writer has
its answer before. Level: after any change of either kind the addresses concerned are looked at again, and what differs
is written, all that wait together at once; one that somebody deletes comes back, one that nobody holds goes. What
others have made is left alone.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from podling.api import times
from podling.api.errors import StatusError
from podling.api.resources import IP_ADDRESSES, SERVICES
from podling.api.validation.addresses import family_name, parse
from podling.apiserver.bootstrap import SYSTEM
from podling.apiserver.options import DeleteOptions
from podling.apiserver.paths import Target
from podling.apiserver.service_addresses import ALLOCATOR, MANAGED_BY, addresses_of, is_allocated
from podling.apiserver.verbs import deleting
from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Notice
    from podling.apiserver.registry import Registry
    from podling.apiserver.service_addresses import ServiceAddresses

FAMILY: Final = "ipaddress.kubernetes.io/ip-family"
_AT_ONCE: Final = 32


class Holder(NamedTuple):
    """The Service that holds an address."""

    namespace: str
    name: str


def plan(holder: Holder | None, shown: Encoded | None) -> Literal["create", "delete", ""]:
    """Return what to do about one address, which `holder` holds and for which `shown` stands."""
    if shown is None:
        return "create" if holder is not None else ""
    if not is_allocated(shown.labels):
        return ""
    parent = shown.view(IP_ADDRESSES.type).spec.parent_ref
    named = (parent.group, parent.resource, parent.namespace, parent.name)
    # A reference cannot be changed: what stands for another Service goes, and its successor is made after that.
    return "" if holder is not None and named == ("", "services", *holder) else "delete"


class ServiceIps:
    """Keeps the IPAddresses; `run` is a component of the supervisor."""

    def __init__(self, registry: Registry, addresses: ServiceAddresses) -> None:
        self._registry = registry
        self._addresses = addresses
        self._record = registry.record(IP_ADDRESSES)
        self._holders: dict[str, Holder] = {}
        self._concerned: dict[str, None] = {}
        self._changed = asyncio.Event()
        registry.cache.listen(registry.record(SERVICES).key_prefix, self._on_service)
        registry.cache.listen(self._record.key_prefix, self._on_address)

    def _on_service(self, notice: Notice) -> None:
        before, after = (self._held(each) for each in (notice.old, notice.new))
        for address in before:
            if address not in after and self._holders.get(address) == before[address]:
                del self._holders[address]
                self._look_at(address)
        for address, holder in after.items():
            if self._holders.get(address) != holder:
                self._holders[address] = holder
                self._look_at(address)

    def _held(self, service: Encoded | None) -> dict[str, Holder]:
        if service is None:
            return {}
        holder = Holder(service.namespace, service.name)
        own = (text for text in addresses_of(service) if self._addresses.range_with(text) is not None)
        return {str(parse(text)): holder for text in own}

    def _on_address(self, notice: Notice) -> None:
        shown = notice.new or notice.old
        if shown is not None:
            self._look_at(shown.name)

    def _look_at(self, address: str) -> None:
        self._concerned[address] = None
        self._changed.set()

    async def run(self) -> None:
        """Write for ever what has come to differ."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._concerned:
                batch = list(islice(self._concerned, _AT_ONCE))
                async with asyncio.TaskGroup() as group:
                    for address in batch:
                        del self._concerned[address]
                        group.create_task(self._write(address))

    async def _write(self, address: str) -> None:
        try:
            await self._make_true(address)
        except BaseException:
            self._look_at(address)  # whoever runs this again begins with what was not written
            raise

    async def _make_true(self, address: str) -> None:
        key = self._record.key("", address)
        shown = self._registry.shelf(self._record).get(key)
        holder = self._holders.get(address)
        try:
            match plan(holder, shown):
                case "create":
                    assert holder is not None
                    # Nothing is left to admit or to check in it, and there may be thousands.
                    await self._registry.put(self._record, key, self._tree(address, holder), 0)
                case "delete":
                    target = Target(self._record, "", address)
                    await deleting.delete(self._registry, target, SYSTEM, DeleteOptions(), [])
        except Mismatch:
            pass  # it came meanwhile, which is a change: it is looked at again
        except StatusError as refusal:
            if not (refusal.is_not_found or refusal.is_conflict):
                raise

    def _tree(self, address: str, holder: Holder) -> dict[str, Any]:
        return {
            "kind": IP_ADDRESSES.kind,
            "apiVersion": IP_ADDRESSES.api_version,
            "metadata": {
                "name": address,
                "uid": self._registry.chance.uid(),
                "creationTimestamp": times.to_wire(self._registry.clock.time()),
                "labels": {FAMILY: family_name(address), MANAGED_BY: ALLOCATOR},
            },
            "spec": {"parentRef": {"resource": "services", "namespace": holder.namespace, "name": holder.name}},
        }
