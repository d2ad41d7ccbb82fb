"""`podling status`: whether the cluster runs, and how it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from podling.cli.admin import ask

if TYPE_CHECKING:
    from podling.cluster import DataDir


def show(data_dir: DataDir) -> None:
    """Print the running cluster's facts; exit 1 if it does not run."""
    if data_dir.holder() is None:
        click.echo(f"No cluster is running on {data_dir.path}. Start one with: podling up --detach")
        raise SystemExit(1)
    for name, value in ask(data_dir, "GET", "/status").items():
        click.echo(f"{name + ':':<12} {value}")
