"""How much of a machine one image may take: the bounds that make hostile archives harmless.

Pure. Owns the numbers and the one exception that says which was passed.
"""

from __future__ import annotations

from msgspec import Struct


class ArchiveRefused(Exception):  # an outcome: the archive is told about, nothing of it stays
    """An archive is broken, or asks for what no image may have."""


class Bounds(Struct, frozen=True):
    """Bytes, entries and ratios beyond which an archive is refused."""

    metadata: int = 8 << 20
    layer: int = 64 << 30
    entries: int = 2_000_000
    layers: int = 500
    name: int = 4096
    ratio: int = 1200
    """Unpacked bytes for each compressed one; deflate cannot pass 1032, zstd and xz bombs do."""
    ratio_from: int = 256 << 20
    """Bytes unpacked before the ratio counts."""
