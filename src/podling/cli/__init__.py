"""The commands. Each loads only what it needs: `podling --help` must not import a cluster."""

from __future__ import annotations

from podling.cli.main import main

__all__ = ["main"]
