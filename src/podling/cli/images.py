"""`podling image …`: what the node's image store holds, asked of the running cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from podling.cli.admin import ask

if TYPE_CHECKING:
    from pathlib import Path

    from podling.cluster import DataDir


def load(data_dir: DataDir, file: Path) -> None:
    """Have the node read `file`; print each reference that it brought."""
    for reference in ask(data_dir, "POST", "/images/load", path=str(file.resolve()))["references"]:
        click.echo(f"Loaded {reference}")


def pull(data_dir: DataDir, reference: str) -> None:
    """Have the node pull `reference`."""
    click.echo(f"Pulled {reference} ({ask(data_dir, 'POST', '/images/pull', reference=reference)['id']})")


def show(data_dir: DataDir) -> None:
    """Print a line for each tag, or for the id of an image without one."""
    rows = [("IMAGE", "ID", "SIZE")]
    for image in ask(data_dir, "GET", "/images")["images"]:
        size = f"{image['size'] / 1e6:.1f}MB"
        rows += [(name, image["id"].removeprefix("sha256:")[:12], size) for name in image["tags"] or ["<none>"]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def remove(data_dir: DataDir, reference: str) -> None:
    """Have the node forget `reference`."""
    ask(data_dir, "DELETE", "/images", reference=reference)
    click.echo(f"Removed {reference}")
