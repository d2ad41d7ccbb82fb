"""What is known of the objects of every kind: the typed view of kinds without one of their own."""

from __future__ import annotations

from msgspec import Struct

from podling.api.types.meta_v1 import ObjectMeta


class PartialObject(
    Struct, frozen=True, kw_only=True, omit_defaults=True, weakref=True, rename={"api_version": "apiVersion"}
):
    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()
