"""`podling up`: from a command line to a cluster that answers.

Owns what a person sees while it starts, and the hand-over to the background. With `--detach` the process forks before
anything heavy is loaded: the child becomes the cluster, and the parent prints the child's progress until the node is
Ready or the start has failed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from podling.cli.failure import Failure
from podling.cluster import AlreadyRunning, NewerData, Options

if TYPE_CHECKING:
    from podling.cluster import DataDir


def start(data_dir: DataDir, *, detach: bool, choices: dict[str, Any]) -> None:
    """Start the cluster, here or in the background."""
    options = Options(data_dir=data_dir.path, **choices)
    try:
        data_dir.prepare()
        lock = data_dir.lock()
    except AlreadyRunning as error:
        raise Failure(
            f"Podling is already running on {data_dir.path} (process {error.pid})", "stop it with: podling down"
        ) from error
    except NewerData as error:
        raise Failure(str(error)) from error
    except PermissionError as error:
        raise Failure(f"may not write to {data_dir.path}: {error}", "choose another folder with --data-dir") from error
    if not detach:
        from podling.cli.process import run

        lock.claim()
        if not run(data_dir, options, report=_print, log_to_file=False):
            raise SystemExit(1)
        return
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        lock.release()  # the child holds the same open file: the lock stays
        _follow(reader, data_dir)
        return
    os.close(reader)
    os.setsid()
    if os.fork():
        os._exit(0)
    lock.claim()
    with os.fdopen(writer, "w", buffering=1) as pipe:
        _become_background(data_dir)

        def report(line: dict[str, Any]) -> None:
            if not pipe.closed:
                try:
                    pipe.write(json.dumps(line) + "\n")
                except BrokenPipeError:
                    return
                if "ready" in line or "failed" in line:
                    pipe.close()

        from podling.cli.process import run

        good = run(data_dir, options, report=report, log_to_file=True)
    sys.stdout.flush()
    os._exit(0 if good else 1)


def _become_background(data_dir: DataDir) -> None:
    """Let go of the terminal: what is still printed (by the interpreter itself) goes to the log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(data_dir.log.with_suffix(".err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(nothing)
    os.close(log)
    os.chdir("/")


def _follow(reader: int, data_dir: DataDir) -> None:
    with os.fdopen(reader) as pipe:
        for line in pipe:
            message = json.loads(line)
            if "failed" in message:
                raise Failure(message["failed"], message.get("next", f"the log is in {data_dir.log}"))
            _print(message)
            if "ready" in message:
                return
    raise Failure(
        "Podling ended while it started", f"the log is in {data_dir.log} and {data_dir.log.with_suffix('.err')}"
    )


def _print(message: dict[str, Any]) -> None:
    if "failed" in message:
        click.echo(f"Error: {message['failed']}", err=True)
    elif "ready" in message:
        click.echo(message["ready"])
    else:
        click.echo(f"  {message['step']}", err=True)
