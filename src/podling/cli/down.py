"""`podling down`: stop the cluster; leave nothing behind but its data.

Owns the order: the process first (which leaves containers alone), then everything that the cluster made in the kernel.
The second half needs no running process, so that it also cleans up after one that was killed.
"""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

import click

from podling.cli.failure import Failure
from podling.cluster import AlreadyRunning

if TYPE_CHECKING:
    from podling.cluster import DataDir

_PATIENCE_SECONDS = 30.0


def stop(data_dir: DataDir, *, keep_pods: bool) -> None:
    """Stop the process, then take away containers, mounts, namespaces, links, rules and cgroups."""
    if not data_dir.path.exists():
        click.echo(f"There is no cluster in {data_dir.path}.")
        return
    pid = data_dir.holder()
    if pid:
        _end(pid)
    if keep_pods:
        click.echo("Podling is stopped; its Pods go on. The next `podling up` finds them.")
        return
    try:
        with data_dir.lock():
            from podling.cluster.teardown import remove_all

            remove_all(data_dir)
    except AlreadyRunning as error:
        raise Failure(str(error)) from error
    click.echo(f"Podling is down. Its data stays in {data_dir.path}.")


def _end(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(handle, "rb", buffering=0):
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        ended, _, _ = select.select([handle], [], [], _PATIENCE_SECONDS)
        if not ended:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], _PATIENCE_SECONDS)
