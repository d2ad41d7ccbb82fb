"""Each namespace has a ConfigMap `kube-root-ca.crt` with the CA that Pods verify the API server with.

Level: the ConfigMaps that are there. Deleted, it is made again; changed, its data is put right and the rest left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, NAMESPACES
from podling.controllers.refusals import namespace_is_going

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import ConfigMap, Namespace
    from podling.controllers.context import Context

NAME: Final = "kube-root-ca.crt"
DESCRIPTION: Final = "kubernetes.io/description"
_DESCRIBED: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def plan(namespace: Namespace | None, held: ConfigMap | None, root_ca: str) -> ConfigMap | None:
    """Return the ConfigMap as it must be written: new where there was none, mended where it was changed."""
    if namespace is None or namespace.metadata.deletion_timestamp is not None:
        return None
    if held is None:
        from podling.api.types.core_v1 import ConfigMap
        from podling.api.types.meta_v1 import ObjectMeta

        metadata = ObjectMeta(name=NAME, namespace=namespace.metadata.name, annotations={DESCRIPTION: _DESCRIBED})
        return ConfigMap(metadata=metadata, data={"ca.crt": root_ca})
    wanted = {"ca.crt": root_ca}
    if held.data == wanted and held.metadata.annotations.get(DESCRIPTION) == _DESCRIBED:
        return None
    annotations = {**held.metadata.annotations, DESCRIPTION: _DESCRIBED}
    metadata = msgspec.structs.replace(held.metadata, annotations=annotations)
    return msgspec.structs.replace(held, metadata=metadata, data=wanted, binary_data={})


class RootCertificatePublisher:
    """Keys are namespaces."""

    account = "root-ca-cert-publisher"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._root_ca = context.root_ca
        self._namespaces = context.informers.of(NAMESPACES)
        self._maps = context.informers.of(CONFIG_MAPS)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._namespaces.on_change(self._on_namespace)
        self._maps.on_change(self._on_map)
        self._supervisor.workers("root-ca-certificate-publisher", self._queue, self._sync)

    def _on_namespace(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None:
            self._queue.add(new.name)

    def _on_map(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None and seen.name == NAME:
            self._queue.add(seen.namespace)

    async def _sync(self, name: str) -> None:
        await self._maps.wait_synced()
        todo = plan(self._namespaces.get(name), self._maps.get(NAME, name), self._root_ca)
        if todo is None:
            return
        try:
            if todo.metadata.resource_version:
                await self._client.update(CONFIG_MAPS, todo)
            else:
                await self._client.create(CONFIG_MAPS, todo)
        except StatusError as refusal:
            if not (refusal.is_already_exists or namespace_is_going(refusal)):
                raise
