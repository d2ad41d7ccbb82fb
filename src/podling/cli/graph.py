"""`podling graph`: who called whom, asked of the running cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from podling.cli.admin import ask

if TYPE_CHECKING:
    from podling.cluster import DataDir


def show(data_dir: DataDir, namespace: str, form: str) -> None:
    """Print the graph in one of its forms: table, dot or json."""
    click.echo(ask(data_dir, "GET", "/graph", namespace=namespace, form=form)["text"], nl=False)
