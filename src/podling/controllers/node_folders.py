"""Which Nodes' folders for volumes are at hand in this process; Nodes come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.client.seams import VolumeFolders


class NodeFolders:
    """Folders by Node. `came` hears of each Node that enters."""

    def __init__(self) -> None:
        self._folders: dict[str, VolumeFolders] = {}
        self.came: Callable[[str], None] = lambda _: None

    def __contains__(self, node: str) -> bool:
        return node in self._folders

    def nodes(self) -> list[str]:
        return list(self._folders)

    def get(self, node: str) -> VolumeFolders | None:
        return self._folders.get(node)

    def enter(self, node: str, folders: VolumeFolders) -> None:
        self._folders[node] = folders
        self.came(node)

    def leave(self, node: str) -> None:
        """Take a Node out whose kubelet is gone; nothing is made or removed on it until it enters again."""
        self._folders.pop(node, None)
