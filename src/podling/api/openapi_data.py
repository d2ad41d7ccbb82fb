"""Owns the definitions as upstream publishes them, for the API server's OpenAPI documents and `kubectl explain`.

Loaded only when a document is asked for: 2 MB of text that no other path of Podling reads.
"""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import Any

import msgspec


@functools.cache
def load() -> dict[str, Any]:
    """Definition name → definition in the form of upstream's swagger (`$ref` is `#/definitions/NAME`).

    The answer is shared: who changes it copies it first. Fields that are `Time`, `Quantity` or `IntOrString` are
    references, as upstream publishes them; defaults and enums are not among what upstream publishes here.
    """
    data = (Path(__file__).parent / "data" / "openapi.json.gz").read_bytes()
    document: dict[str, Any] = msgspec.json.decode(gzip.decompress(data))
    return document
