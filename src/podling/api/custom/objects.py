"""The typed view of custom kinds: their metadata, and what nearly all have beside it as plain trees.

To be read only: what else an object has is not in it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from podling.api.types.meta_v1 import ObjectMeta


class CustomObject(
    Struct, frozen=True, kw_only=True, omit_defaults=True, weakref=True, rename={"api_version": "apiVersion"}
):
    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
    spec: Any = None
    status: Any = None
