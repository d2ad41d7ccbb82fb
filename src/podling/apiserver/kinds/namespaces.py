"""Namespaces: the finalizer that keeps them until they are empty, and their phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.apiserver.kinds.strategy import Plain, keep

if TYPE_CHECKING:
    from podling.apiserver.record import Context

FINALIZER = "kubernetes"


class NamespaceStrategy(Plain):
    """A namespace is Active until its deletion begins, and stays until spec.finalizers is empty."""

    def __init__(self) -> None:
        super().__init__(status=True)

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        tree["status"] = {"phase": "Active"}
        finalizers = tree.setdefault("spec", {}).setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        super().prepare_update(tree, old, context)
        finalizers = old.get("spec", {}).get("finalizers")
        if finalizers:
            tree.setdefault("spec", {})["finalizers"] = finalizers
        else:
            tree.get("spec", {}).pop("finalizers", None)

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        """Let a writer of `finalize` change spec.finalizers only."""
        if subresource != "finalize":
            super().prepare_subresource(subresource, tree, old, context)
            return
        wanted = tree.get("spec", {}).get("finalizers")
        for key in {**old, **tree}:
            keep(tree, old, key)
        tree["spec"] = {**old.get("spec", {}), "finalizers": wanted or []}

    def deleting(self, tree: dict[str, Any]) -> None:
        tree.setdefault("status", {})["phase"] = "Terminating"

    def held(self, tree: dict[str, Any]) -> bool:
        return bool(tree.get("spec", {}).get("finalizers"))
