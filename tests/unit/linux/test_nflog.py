"""Packets as the packet filter's log tells of them: who called whom, by what."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.linux.nf_expressions import attribute
from podling.linux.nflog import LENGTH, Packet, parse

FOUR = b"".join(ip_address(text).packed for text in ("10.0.0.1", "10.0.0.2"))
SIX = b"".join(ip_address(text).packed for text in ("fd00::1", "fd00::2"))
PORTS = struct.pack(">HH", 4000, 80)
OPTIONS, LONGER = bytes(6), b"\1" + bytes(14)


def told(packet: bytes) -> Packet | None:
    return parse(bytes(4) + attribute(10, b"Ingress\0") + attribute(9, packet[:LENGTH]))


def six(first: int, behind: bytes) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(behind), first, 64) + SIX + behind


@pytest.mark.parametrize("options", [0, 4, 40])
def test_an_ipv4_packet(options: int) -> None:
    head = bytes([0x45 + options // 4, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0]) + FOUR + bytes(options)
    assert told(head + PORTS) == Packet("Ingress", 6, "10.0.0.1", "10.0.0.2", 4000, 80)


@pytest.mark.parametrize(
    ("first", "between"),
    [
        (6, b""),
        (0, b"\6\0" + OPTIONS),
        (60, b"\6" + LONGER),
        (43, b"\6\0" + OPTIONS),
        (44, b"\6" + bytes(7)),
        (51, b"\6\4" + bytes(22)),
        (0, b"\x3c\0" + OPTIONS + b"\x2c\0" + OPTIONS + b"\6" + bytes(7)),
    ],
)
def test_an_ipv6_packet_behind_whatever_headers(first: int, between: bytes) -> None:
    """Who puts some between is told of as everybody else."""
    assert told(six(first, between + PORTS)) == Packet("Ingress", 6, "fd00::1", "fd00::2", 4000, 80)


def test_headers_beyond_what_is_copied() -> None:
    """Such a packet has neither protocol nor ports that anybody knows."""
    packet = told(six(60, (b"\x3c\0" + OPTIONS) * 40 + PORTS))
    assert packet == Packet("Ingress", 60, "fd00::1", "fd00::2")


@given(st.binary(max_size=LENGTH))
def test_anything_at_all(data: bytes) -> None:
    """Others may send to the group, whatever they like."""
    packet = told(data)
    assert packet is None or packet.word == "Ingress"
