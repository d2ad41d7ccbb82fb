"""The process of a running cluster: logging, signals, the loop, the way in and the way out.

Owns the process, not the components: those are `podling.cluster.compose`'s. SIGTERM and SIGINT stop Podling in order
and leave the containers running; `podling down` cleans up behind it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import logging.handlers
import signal
import sys
from typing import TYPE_CHECKING, Any

from podling.aio.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.cluster import DataDir, Options

log = logging.getLogger("podling")


def run(data_dir: DataDir, options: Options, *, report: Callable[[dict[str, Any]], None], log_to_file: bool) -> bool:
    """Run the cluster until it is told to stop; return whether it ever was ready."""
    # What a start makes, it keeps: looking for garbage meanwhile, time and again, finds none.
    gc.disable()
    _log(data_dir, to_file=log_to_file)
    return asyncio.run(_serve(data_dir, options, report))


async def _serve(data_dir: DataDir, options: Options, report: Callable[[dict[str, Any]], None]) -> bool:
    clock = SystemClock()
    began = clock.monotonic()
    from podling.cluster.compose import Cluster
    from podling.cluster.failure import StartFailed

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    cluster = Cluster(data_dir, options, clock)
    try:
        async with cluster:
            async for step in cluster.progress():
                log.info("%s", step)
                report({"step": step})
                if stop.is_set():
                    return False
            report({"ready": _welcome(data_dir, cluster.summary(), clock.monotonic() - began)})
            log.info("ready after %.3f s", clock.monotonic() - began)
            gc.freeze()
            gc.enable()
            await stop.wait()
            log.info("stopping")
        return True
    except* StartFailed as failures:
        first = failures.exceptions[0]
        log.error("%s", first)  # noqa: TRY400  # an outcome, not a bug
        report({"failed": str(first), "next": getattr(first, "next_step", "")})
    return False


def _welcome(data_dir: DataDir, summary: str, seconds: float) -> str:
    return (
        f"Podling is up after {seconds:.2f} s: {summary}\n\n"
        f"  export KUBECONFIG={data_dir.kubeconfig}\n"
        "  kubectl get nodes\n"
        "  kubectl run web --image=IMAGE        images: podling image load FILE, podling image list\n"
        f"  podling down --data-dir {data_dir.path}"
    )


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        import json

        line = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log(data_dir: DataDir, *, to_file: bool) -> None:
    """Text on a terminal, else JSON; a file is rotated. UTC."""
    import time

    handler: logging.Handler
    if to_file:
        handler = logging.handlers.RotatingFileHandler(data_dir.log, maxBytes=10 << 20, backupCount=3)
    else:
        handler = logging.StreamHandler(sys.stderr)
    if to_file or not sys.stderr.isatty():
        formatter: logging.Formatter = _JsonLines()
    else:
        formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if to_file else logging.WARNING)
    logging.getLogger("podling").setLevel(logging.INFO if to_file else logging.WARNING)
