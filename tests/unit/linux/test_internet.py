"""Sockets of both families: side by side on one port, and led by the scope that is written behind an address."""

from __future__ import annotations

import asyncio
import socket

import pytest

from podling.linux import internet
from podling.linux.local import LocalHost
from tests.families import needs_ipv6

pytestmark = needs_ipv6


def test_both_families_listen_on_one_port() -> None:
    """At every address of each: what comes by the one does not come to the other's socket."""

    async def scenario() -> None:
        host = LocalHost()
        four = host.listen("0.0.0.0", 0)  # noqa: S104
        port = four.getsockname()[1]
        opened = [four]
        try:
            opened.append(host.listen("::", port))
            for address, own in (("127.0.0.1", four), ("::1", opened[1])):
                await host.dial(address, port)
                accepted, _ = own.accept()
                accepted.close()
            free = host.datagrams("::", 0)
            opened += [free, host.datagrams("0.0.0.0", free.getsockname()[1])]  # noqa: S104
            for one in opened[:2]:
                with pytest.raises(BlockingIOError):
                    one.accept()
        finally:
            for one in opened:
                one.close()
            host.close()

    asyncio.run(scenario())


def test_a_scope_leads_the_way() -> None:
    """By an interface's name or number; one that does not exist is an error, and no address is asked instead."""
    number = socket.if_nametoindex("lo")
    assert internet.place("fe80::1%lo", 53) == internet.place(f"fe80::1%{number}", 53) == ("fe80::1", 53, 0, number)
    assert internet.place("fe80::1", 53) == ("fe80::1", 53)

    async def scenario() -> None:
        host = LocalHost()
        listener = host.listen("::1", 0)
        port = listener.getsockname()[1]
        try:
            await host.dial("::1%lo", port)
            _, writer = await host.connect("::1%lo", port)
            writer.close()
            for call in (host.dial("fe80::1%none0", port), host.connect("fe80::1%none0", port)):
                with pytest.raises(OSError, match="no interface with this name"):
                    await call
        finally:
            listener.close()
            host.close()

    asyncio.run(scenario())
