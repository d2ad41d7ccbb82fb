"""Annotations that several rooms read or write, named once. Pure."""

from __future__ import annotations

from typing import Final

MIRROR: Final = "kubernetes.io/config.mirror"
"""On the API's image of a static Pod: its hash. Such a Pod is its kubelet's alone."""

SOURCE: Final = "kubernetes.io/config.source"
"""Where a kubelet has a Pod from: `file`, or `api`, which is also what its absence means."""
