"""The node-local seams beside the API: Protocols that `cluster.py` fills in.

Components see the cluster through `Client`; these are the exceptions, and there are no others. `PodNetwork` lets a
kubelet wire a Pod without knowing how; `NodeConnection` lets the API server reach a kubelet's server wherever it
listens; `VolumeFolders` lets the provisioner of local volumes reach a node's disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from podling.lifecycle.traffic import UNBOUNDED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from podling.lifecycle.traffic import Traffic


class WiringFailed(Exception):  # an outcome that is told in the Pod's events
    """A Pod could not be wired; says why."""


class PodNetwork(Protocol):
    """Gives Pods their addresses and their link. Every method may be called again with the same words."""

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        """Wire the Pod whose network namespace is pinned at `netns`; return its addresses, the primary first.

        Called again after a restart of Podling it returns the same addresses and mends what is missing. `WiringFailed`
        and `OSError` say why a Pod cannot be wired now.
        """
        ...

    async def detach(self, uid: str) -> None:
        """Take the link away and free the addresses; nothing happens where nothing is."""
        ...

    async def attached(self) -> Mapping[str, Sequence[str]]:
        """Return the addresses held, by Pod uid; what is held and not wanted is to be detached."""
        ...


class NodeConnection(Protocol):
    """Opens byte streams to kubelets' servers, already authenticated as the API server."""

    async def connect(self, node: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a stream that speaks HTTP/1.1 with the kubelet of `node`; `StatusError` if it cannot be reached."""
        ...


class VolumeFolders(Protocol):
    """The folders on one node that local volumes are; a volume's name is its folder's."""

    def path(self, volume: str) -> str:
        """Return where a volume's folder lies, or will lie, on the node; `ValueError` for a name that cannot be."""
        ...

    async def make(self, volume: str) -> None:
        """Make a volume's folder; one that is there stays as it is. `OSError` says what stands in the way."""
        ...

    async def remove(self, volume: str) -> None:
        """Remove a volume's folder with all that is in it; nothing happens where nothing is."""
        ...

    async def discard(self, volume: str) -> None:
        """Remove a volume's folder if nothing is in it: one that was made, and whose volume never came to be."""
        ...

    async def volumes(self) -> Sequence[str]:
        """Return the volumes that have folders, by name."""
        ...
