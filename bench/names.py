"""Answers of the cluster's DNS in a second: half A, a quarter AAAA, the rest SRV and names through the search paths.

Runs the real server on a loopback port in one process, held to one core, and asks it from another with a number of
questions under way. What is asked is drawn from 1,000 Services; every answer's code is checked. Two figures: answers
for a second of the wall, and for a second of the server's own processor time, which other load does not disturb.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import select
import socket
import sys
import time

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree
from podling.api.types.core_v1 import Service
from podling.dns import wire
from podling.dns.answers import Answers
from podling.dns.forwarder import Forwarder
from podling.dns.server import DnsServer
from podling.linux.local import LocalHost
from podling.reach.names import Zone

SERVICES = 1000
AT_A_TIME = 64


def _zone() -> Zone:
    zone = Zone(servers=["127.0.0.1"])
    zone.put_namespace("default")
    for number in range(SERVICES):
        spec = {"clusterIP": f"10.96.{number // 250}.{number % 250 + 1}", "ports": [{"name": "http", "port": 80}]}
        tree = {"metadata": {"name": f"svc-{number}", "namespace": "default"}, "spec": spec}
        zone.put_service(from_tree(Service, tree), [])
    return zone


def serve(ready: int, churn: float) -> None:
    """Serve until killed; with `churn`, change the zone so many times a second."""
    os.sched_setaffinity(0, {0})

    async def main() -> None:
        clock = SystemClock()
        host = LocalHost(clock=clock)
        zone = _zone()
        async with Supervisor(clock) as supervisor:
            forwarder = Forwarder(host, clock, Chance(), list)
            server = DnsServer(host, Answers(zone), forwarder, clock, supervisor)
            port = await server.start(["127.0.0.1"], 0)
            os.write(ready, port.to_bytes(2, "big"))
            number = 0
            while True:
                await asyncio.sleep(1 / churn if churn else 3600)
                number += 1
                (zone.put_namespace if number % 2 else zone.drop_namespace)("churn")

    asyncio.run(main())


def questions(count: int) -> list[tuple[bytes, int]]:
    """Return questions with the code that is due."""
    draw = random.Random(1)
    made = []
    for number in range(count):
        name = f"svc-{draw.randrange(SERVICES)}.default.svc.cluster.local"
        match number % 8:
            case 0 | 1 | 2 | 3:
                question, code = wire.question_of(name, 1), wire.OK
            case 4 | 5:
                question, code = wire.question_of(name, 28), wire.OK
            case 6:
                question, code = wire.question_of(f"_http._tcp.{name}", 33), wire.OK
            case _:
                outside = draw.choice(["api.example.com", "db.other", "cache.default.svc"])
                path = draw.choice(["default.svc.cluster.local", "svc.cluster.local", "cluster.local"])
                question, code = wire.question_of(f"{outside}.{path}", 1), wire.NXDOMAIN
        made.append((b"\1\0\0\1\0\0\0\0\0\0" + question, code))
    return made


def measure(seconds: float, churn: float) -> tuple[float, float]:
    """Return answers for a second of the wall, and for a second of the server's processor time."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            serve(writer, churn)
        finally:
            os._exit(1)
    port = int.from_bytes(os.read(reader, 2), "big")
    asked = questions(8192)
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.connect(("127.0.0.1", port))
    own.setblocking(False)
    answered = under_way = at = 0
    due: dict[int, int] = {}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        while under_way < AT_A_TIME:
            id_ = at & 0xFFFF
            rest, code = asked[at % len(asked)]
            own.send(id_.to_bytes(2, "big") + rest)
            due[id_] = code
            at += 1
            under_way += 1
        if not select.select([own], [], [], 1)[0]:
            raise SystemExit("an answer was lost")
        try:
            while True:
                answer = own.recv(2048)
                if answer[3] & 0xF != due.pop(int.from_bytes(answer[:2], "big")):
                    raise SystemExit("a wrong answer")
                answered += 1
                under_way -= 1
        except BlockingIOError:
            pass
    elapsed = time.perf_counter() - started
    os.kill(child, 9)
    os.waitpid(child, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return answered / elapsed, answered / (used.ru_utime + used.ru_stime - _used_before())


_BEFORE = [0.0]


def _used_before() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    before, _BEFORE[0] = _BEFORE[0], used.ru_utime + used.ru_stime
    return before


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    for churn, what in (
        (0.0, "zone at rest"),
        (20.0, "zone changing 20 times a second"),
        (200.0, "200 times a second"),
    ):
        wall, own = measure(seconds, churn)
        print(f"{what:34} {wall:10,.0f} answers/s   {own:10,.0f} a second of one core")


if __name__ == "__main__":
    main()
