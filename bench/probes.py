"""What probing costs: so many probes a second against local servers, in cores of the prober's own process.

    python bench/probes.py [--probes 1000] [--seconds 5]

The whole way is measured: counting, timers, tasks, sockets. The servers are processes of their own and are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import time
from typing import TYPE_CHECKING

from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.types.core_v1 import Container, HTTPGetAction, Probe, TCPSocketAction
from podling.kubelet.probes.checks import Checks
from podling.kubelet.probes.prober import Prober
from podling.kubelet.probes.wire import HostWire
from podling.lifecycle.facts import ContainerFacts
from podling.linux.local import LocalHost

if TYPE_CHECKING:
    from podling.lifecycle.probes import Checked, ProbeKind

MARKS = {"tcp": 0.3, "http": 0.6}
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def _serve(listener: socket.socket) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(4096):
            writer.write(_ANSWER)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(one, sock=listener, backlog=1024)
        await server.serve_forever()

    asyncio.run(main())


def _probe(kind: str, port: int) -> Probe:
    if kind == "tcp":
        return Probe(tcp_socket=TCPSocketAction(port=port), period_seconds=1, timeout_seconds=5)
    return Probe(http_get=HTTPGetAction(port=port, path="/healthz"), period_seconds=1, timeout_seconds=5)


async def cores(kind: str, port: int, probes: int, seconds: float) -> tuple[float, int, int]:
    """Return the cores used, and how many instances came to be ready, and how many checks went wrong."""
    clock = SystemClock()
    bad: list[str] = []

    def report(_name: str, _kind: ProbeKind, checked: Checked) -> None:
        bad.append(checked.output)

    host = LocalHost()
    async with Supervisor(clock, "bench") as supervisor:
        prober = Prober("bench", Checks(None, HostWire(host, clock), clock), clock, supervisor, report, lambda: None)
        began = clock.time()
        for number in range(probes):
            container = Container(name="c", readiness_probe=_probe(kind, port))
            facts = ContainerFacts(f"c{number}", "c", 0, "s", began, started=began + number / probes)
            prober.watch(container, facts, "127.0.0.1", was_started=False, was_ready=False)
        await asyncio.sleep(1.5)
        cpu, wall = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        used = (time.process_time() - cpu) / (time.monotonic() - wall)
        ready = sum(1 for facts in prober.facts.values() if facts.ready)
        prober.close()
    host.close()
    return used, ready, len(bad)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = multiprocessing.Process(target=_serve, args=(listener,), daemon=True)
    server.start()
    reached = True
    try:
        print(f"{options.probes} probes a second | cores | mark | ready | went wrong")
        for kind, mark in MARKS.items():
            used, ready, bad = asyncio.run(cores(kind, listener.getsockname()[1], options.probes, options.seconds))
            print(f"{kind} | {used:.2f} | {mark} | {ready} | {bad}")
            reached = reached and used <= mark * options.probes / 1000
    finally:
        server.terminate()
        server.join()
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
