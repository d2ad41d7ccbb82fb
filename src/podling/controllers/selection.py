"""Which Services select a Pod, and which Pods a Service selects, without looking at all of either.

Owns two indexes: Services by one of the labels that they ask for, Pods by each label that they have. A change of one
Pod costs what its own labels cost, however many Services and Pods there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pods import is_terminal, ready_condition
from podling.client.cache import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod, Service
    from podling.client.informer import Informer

_SELECTS: Final = "selects"
_LABEL: Final = "label"
_NODE: Final = "node"
_LARGE: Final = 200
"""Pods; a Service of fewer is looked through at once."""


class Selection:
    """Over the informers of Services and Pods."""

    def __init__(self, services: Informer[Service], pods: Informer[Pod]) -> None:
        self._services = services
        self._pods = pods
        self._sizes: dict[str, int] = {}
        services.add_index(_SELECTS, self._asked_for)
        pods.add_index(_LABEL, _had)
        pods.add_index(_NODE, lambda pod: (pod.fields.get("spec.nodeName", ""),))

    def _asked_for(self, service: Encoded) -> Iterable[str]:
        selector = self._services.view(service).spec.selector
        return (f"{service.namespace}/{pair[0]}={pair[1]}" for pair in sorted(selector.items())[:1])

    def services_of(self, pod: Encoded) -> Sequence[str]:
        """Return the keys of the Services whose selector matches a Pod."""
        found = []
        for label in _had(pod):
            for service in self._services.indexed(_SELECTS, label):
                selector = self._services.view(service).spec.selector
                if selector.items() <= pod.labels.items():
                    found.append(key_of(service))
        return found

    def pods_of(self, service: Service) -> Sequence[Pod]:
        """Return the Pods that a Service's selector matches; none where it has no selector."""
        wanted, namespace = service.spec.selector, service.metadata.namespace
        if not wanted:
            return ()
        each = [self._pods.indexed(_LABEL, f"{namespace}/{name}={value}") for name, value in sorted(wanted.items())]
        found = [self._pods.view(pod) for pod in min(each, key=len) if wanted.items() <= pod.labels.items()]
        key = f"{namespace}/{service.metadata.name}"
        if len(found) > _LARGE:
            self._sizes[key] = len(found)
        else:
            self.forget(key)
        return found

    def large(self, key: str) -> int:
        """Return how many Pods a Service had when it was last looked through; 0 where they were no matter."""
        return self._sizes.get(key, 0)

    def forget(self, key: str) -> None:
        self._sizes.pop(key, None)

    def services_on(self, node: str) -> Sequence[str]:
        """Return the keys of the Services that select a Pod of a Node."""
        found = dict.fromkeys(key for pod in self._pods.indexed(_NODE, node) for key in self.services_of(pod))
        return list(found)

    def concerned(self, old: Encoded | None, new: Encoded | None) -> Sequence[str]:
        """Return the keys of the Services to which a Pod's change can matter."""
        found = dict.fromkeys(key for seen in (old, new) if seen is not None for key in self.services_of(seen))
        # Asked in this order: a Pod that no Service selects is never decoded.
        if not found or (old is not None and new is not None and old.uid == new.uid and self._alike(old, new)):
            return ()
        return list(found)

    def _alike(self, old: Encoded, new: Encoded) -> bool:
        return old.labels == new.labels and _facts(self._pods.view(old)) == _facts(self._pods.view(new))


def _had(pod: Encoded) -> Iterable[str]:
    return (f"{pod.namespace}/{name}={value}" for name, value in pod.labels.items())


def _facts(pod: Pod) -> tuple[object, ...]:
    """Return all of a Pod that endpoints are made of, and nothing else."""
    ready = ready_condition(pod)
    return (
        pod.metadata.deletion_timestamp is None,
        pod.spec.node_name,
        pod.spec.hostname,
        pod.spec.subdomain,
        is_terminal(pod),
        pod.status.pod_ip,
        pod.status.pod_ips,
        ready.status if ready is not None else "",
    )
