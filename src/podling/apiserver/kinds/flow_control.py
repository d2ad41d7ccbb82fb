"""FlowSchemas and their levels: a write of the status touches nothing else, metadata neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.apiserver.kinds.strategy import Plain

if TYPE_CHECKING:
    from podling.apiserver.record import Context


class FlowStrategy(Plain):
    """Upstream's strategies of both kinds and of their status."""

    def __init__(self) -> None:
        super().__init__(status=True, generation=True, blank={})

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        super().prepare_subresource(subresource, tree, old, context)
        written = tree["metadata"]
        tree["metadata"] = {**old["metadata"]}
        for key in ("managedFields", "resourceVersion"):
            if key in written:
                tree["metadata"][key] = written[key]
