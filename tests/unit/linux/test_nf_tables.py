"""The packet filter by its own messages: transactions whole or not at all, and heard of by others."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.linux import namespaces
from podling.linux import nf_expressions as nf
from podling.linux.families import IPV4, IPV6
from podling.linux.nf_tables import DYNAMIC, TIMEOUT, Batch, Element, NamedSet, Tables, TableWatch
from podling.linux.spawn import run_and_wait

pytestmark = pytest.mark.root


@pytest.fixture
def space(tmp_path: Path) -> Iterator[str]:
    """A network namespace of the test's own."""
    namespaces.create(tmp_path / "ns", ("net",), sysctls={})
    yield str(tmp_path / "ns" / "net")
    namespaces.release(tmp_path / "ns")


def nft(space: str, *words: str) -> str:
    return run_and_wait(["nsenter", f"--net={space}", "nft", *words]).decode()


def key(address: str, port: int, number: int) -> bytes:
    return socket.inet_aton(address) + b"\6\0\0\0" + port.to_bytes(2, "big") + b"\0\0" + number.to_bytes(4, "little")


def begin() -> Batch:
    batch = Batch("t")
    batch.replace_table()
    batch.add_set(NamedSet("to", ("address", "protocol", "port", "number"), ("address", "port")))
    batch.add_set(NamedSet("ways", ("number",), ()))
    return batch


def test_what_nft_shows_of_it(space: str) -> None:
    """Sets, maps, chains and rules read in nft's words as what they were meant to be."""
    tables = Tables(space)
    batch = begin()
    batch.add_set(NamedSet("from", ("address",)))
    batch.add_set(NamedSet("seen", ("address",), ("address", "port"), TIMEOUT | DYNAMIC, 99))
    batch.add_chain("in", "nat", "prerouting", -100)
    batch.add_chain("way")
    batch.add_rule("in", nf.of_family(IPV4), nf.source(), nf.lookup("from", inverted=True),
                   nf.verdict(nf.Verdict(nf.DROP)))  # fmt: skip
    batch.add_rule("way", nf.destination(), nf.protocol(9), nf.destination_port(10), nf.random(5, 11, offset=7),
                   nf.lookup("to", into=8), nf.destination_nat())  # fmt: skip
    batch.add_elements("to", [Element(key("10.0.0.1", 80, 7), socket.inet_aton("10.0.0.2") + b"\x1f\x90\0\0")])
    batch.add_elements("ways", [Element((3).to_bytes(4, "little"), nf.goto("way"))])
    batch.add_elements("from", [Element(b"\x0a\0\0\0"), Element(b"\x0a\1\0\0")])
    tables.commit(batch)
    shown = nft(space, "list", "table", "inet", "t")
    assert "10.0.0.1 . tcp . 80 . 0x00000007 : 10.0.0.2 . 8080" in shown
    assert ": goto way" in shown
    assert "numgen random mod 5 offset 7 map @to" in shown
    assert "ip saddr != @from drop" in shown
    assert [element.key for element in tables.elements("t", "to")] == [key("10.0.0.1", 80, 7)]
    assert tables.elements("t", "none") == [] == tables.elements("none", "to")
    tables.close()


def test_what_nft_shows_of_the_other_family(space: str) -> None:
    """The same holds for IPv6, whose addresses take four registers."""
    tables, batch = Tables(space), Batch("t")
    batch.replace_table()
    batch.add_set(NamedSet("to", ("address6", "protocol", "port", "number"), ("address6", "port")))
    batch.add_set(NamedSet("from", ("address6",)))
    batch.add_chain("way", "nat", "prerouting", -100)
    batch.add_rule("way", nf.of_family(IPV6), nf.source(family=IPV6), nf.lookup("from", inverted=True),
                   nf.verdict(nf.Verdict(nf.DROP)))  # fmt: skip
    batch.add_rule("way", nf.of_family(IPV6), nf.destination(family=IPV6), nf.protocol(12), nf.destination_port(13),
                   nf.random(5, 14), nf.lookup("to", into=8), nf.destination_nat(family=IPV6))  # fmt: skip
    service, endpoint = (socket.inet_pton(socket.AF_INET6, text) for text in ("fd00::1", "fd00::2"))
    sought = service + b"\6\0\0\0" + b"\0\x50\0\0" + (3).to_bytes(4, "little")
    batch.add_elements("to", [Element(sought, endpoint + b"\x1f\x90\0\0")])
    tables.commit(batch)
    shown = nft(space, "list", "table", "inet", "t")
    assert "fd00::1 . tcp . 80 . 0x00000003 : fd00::2 . 8080" in shown
    assert "ip6 saddr != @from drop" in shown
    assert "dnat ip6 to ip6 daddr . meta l4proto . th dport . numgen random mod 5 map @to" in shown
    tables.close()


def test_all_or_nothing(space: str) -> None:
    """A transaction that is refused in part changes nothing, and the refusal names the part."""
    tables = Tables(space)
    tables.commit(begin())
    batch = Batch("t")
    batch.add_elements("to", [Element(key("10.0.0.1", 80, 0), bytes(8))])
    batch.delete_elements("to", [Element(key("10.0.0.9", 80, 0))])
    with pytest.raises(OSError, match="'to'") as refused:
        tables.commit(batch)
    assert refused.value.errno == errno.ENOENT
    assert tables.elements("t", "to") == []
    batch = Batch("t")
    batch.add_elements("to", [Element(key("10.0.0.1", 80, number), bytes(8)) for number in range(3000)])
    tables.commit(batch)
    assert len(tables.elements("t", "to")) == 3000
    batch = Batch("t")
    batch.delete_table()
    tables.commit(batch)
    assert not tables.has_table("t")
    tables.close()


def test_others_are_heard(space: str) -> None:
    """What another changes in one of the tables is told, what this one changes is not, nor what is done to others."""

    async def main() -> None:
        tables = Tables(space)
        heard: list[bool] = []
        watch = TableWatch(space, ("t", "t6"), tables.sender, heard.append)
        tables.commit(begin())
        nft(space, "add", "table", "inet", "other")
        await asyncio.sleep(0.05)
        assert not heard
        nft(space, "add", "table", "inet", "t6")
        await asyncio.sleep(0.05)
        assert heard == [True]
        nft(space, "flush", "ruleset")
        await asyncio.sleep(0.05)
        assert heard[1] is True
        watch.close()
        tables.close()

    asyncio.run(main())
