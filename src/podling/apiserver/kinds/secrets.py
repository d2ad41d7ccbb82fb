"""Secrets: stringData is written in plain text and stored with the rest in base64."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from podling.apiserver.kinds.strategy import Plain

if TYPE_CHECKING:
    from podling.apiserver.record import Context


class SecretStrategy(Plain):
    """A Secret's stringData goes into its data and is never read back."""

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        _take_strings(tree)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        super().prepare_update(tree, old, context)
        _take_strings(tree)
        # As upstream: the type of a Secret whose update does not name one stays.
        if not tree.get("type"):
            tree["type"] = old.get("type", "Opaque")


def _take_strings(tree: dict[str, Any]) -> None:
    strings = tree.pop("stringData", None)
    if strings:
        data = tree.setdefault("data", {})
        for key, value in strings.items():
            data[key] = base64.b64encode(value.encode()).decode()
