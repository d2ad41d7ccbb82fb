"""SPDY/3.1: golden bytes, round trips in any pieces, and input that means harm."""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podling.kubelet.server import spdy
from podling.kubelet.server.spdystreams import SpdyConnection, SpdyStream
from podling.kubelet.server.wire import INBOX_LIMIT

_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=20)
_HEADERS = st.dictionaries(_NAMES, st.text(max_size=50).filter(lambda it: "\0" not in it), max_size=8)


def test_the_dictionary_is_the_standards() -> None:
    """The header dictionary has the checksum that every SPDY/3 stream begins with."""
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2
    begun = spdy.SpdyCodec(client=True).syn_stream(1, {"streamType": "error"})
    assert begun[18:24][2:] == b"\xe3\xc6\xa7\xc2"


def test_golden_frames() -> None:
    """Frames are laid out as the draft draws them."""
    assert spdy.ping(7) == bytes.fromhex("80030006 00000004 00000007")
    assert spdy.rst_stream(3, spdy.CANCEL) == bytes.fromhex("80030003 00000008 00000003 00000005")
    assert spdy.data_frames(5, b"abc", fin=True) == bytes.fromhex("00000005 01000003") + b"abc"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_HEADERS, st.binary(max_size=100_000), st.booleans()), max_size=5), st.integers(1, 4096))
def test_round_trips_in_any_pieces(opened: list[tuple[dict[str, str], bytes, bool]], size: int) -> None:
    """What one end sends the other receives, however the bytes are cut."""
    client, server = spdy.SpdyCodec(client=True), spdy.SpdyCodec()
    sent = b""
    for index, (headers, data, fin) in enumerate(opened):
        sent += client.syn_stream(2 * index + 1, headers) + spdy.data_frames(2 * index + 1, data, fin=fin)
    seen: dict[int, tuple[Any, bytearray, list[bool]]] = {}
    for at in range(0, len(sent), size):
        for event in server.receive(sent[at : at + size]):
            match event:
                case spdy.SynStream(number, headers):
                    seen[number] = (headers, bytearray(), [])
                case spdy.Data(number, data, fin):
                    seen[number][1].extend(data)
                    seen[number][2].append(fin)
    for index, (headers, data, fin) in enumerate(opened):
        got, body, fins = seen[2 * index + 1]
        assert (got, bytes(body)) == (headers, data)
        assert any(fins) == fin
    assert server.held == 0


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=4000), st.integers(1, 500))
def test_noise_neither_hangs_nor_grows(noise: bytes, size: int) -> None:
    """Arbitrary bytes lead to events or to SpdyError, and never to more held than a control frame."""
    server = spdy.SpdyCodec()
    try:
        for at in range(0, len(noise), size):
            server.receive(noise[at : at + size])
            assert server.held <= spdy.MAX_CONTROL + 8 + size
    except spdy.SpdyError:
        pass


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, len(body)) + body


def _deflated(text: bytes) -> bytes:
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    return packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(struct.pack(">HHI", 0x8003, 1, 0xFFFFFF), id="a control frame of 16 MiB"),
        pytest.param(_control(1, struct.pack(">IIH", 1, 0, 0) + _deflated(b"\0" * 10_000_000)), id="a header bomb"),
        pytest.param(
            _control(1, struct.pack(">IIH", 1, 0, 0) + _deflated(b"\xff\xff\xff\xff")), id="4 billion headers"
        ),
        pytest.param(
            _control(1, struct.pack(">IIH", 1, 0, 0) + _deflated(b"\0\0\0\1\x7f\xff\xff\xff")), id="a name of 2 GiB"
        ),
        pytest.param(_control(1, struct.pack(">IIH", 2, 0, 0) + _deflated(b"\0\0\0\0")), id="a server's stream number"),
        pytest.param(_control(1, b"\0\0"), id="a truncated body"),
        pytest.param(struct.pack(">HHI", 0x8002, 1, 0), id="another version"),
        pytest.param(struct.pack(">II", 0, 5) + b"hello", id="data on stream 0"),
    ],
)
def test_hostile_frames_are_refused(hostile: bytes) -> None:
    """Each is refused before anything large is held."""
    with pytest.raises(spdy.SpdyError):
        spdy.SpdyCodec().receive(hostile)


class _Pipe:
    """Half of a wire between two connections."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.other: _Pipe

    async def read(self) -> bytes:
        return await self.queue.get()

    def write(self, data: bytes) -> None:
        self.other.queue.put_nowait(data)

    async def drain(self) -> None: ...


def _wires() -> tuple[_Pipe, _Pipe]:
    one, two = _Pipe(), _Pipe()
    one.other, two.other = two, one
    return one, two


def test_streams_close_by_half_and_by_reset(run: Any) -> None:
    """A half that is closed ends reading at the other end, a reset ends both, and the loss of the wire ends all."""

    async def main() -> None:
        ours, theirs = _wires()
        accepted: list[SpdyStream] = []
        server = SpdyConnection(ours, lambda stream: (accepted.append(stream), stream.headers["kind"] != "bad")[1])
        client = SpdyConnection(theirs, lambda stream: False, client=True)
        tasks = [asyncio.create_task(server.run()), asyncio.create_task(client.run())]
        first = await client.open({"kind": "echo"})
        await first.write(b"hello")
        await first.close_write()
        while not accepted:
            await asyncio.sleep(0)
        assert await accepted[0].read() == b"hello"
        assert await accepted[0].read() == b""
        await accepted[0].write(b"bye")
        await accepted[0].close_write()
        assert await first.read() == b"bye"
        assert await first.read() == b""
        assert not client._streams
        refused = await client.open({"kind": "bad"})
        assert await refused.read() == b""
        second = await client.open({"kind": "echo"})
        ours.queue.put_nowait(b"")
        theirs.queue.put_nowait(b"")
        await asyncio.gather(*tasks)
        assert await second.read() == b""

    run(main())


def test_a_stream_that_is_not_read_holds_the_wire_back(run: Any) -> None:
    """No more than an inbox's limit is taken for a reader that does not come; once it comes, all arrives."""

    async def main() -> None:
        ours, theirs = _wires()
        accepted: list[SpdyStream] = []
        server = SpdyConnection(ours, lambda stream: accepted.append(stream) is None)
        client = SpdyConnection(theirs, lambda stream: False, client=True)
        serving = asyncio.create_task(server.run())
        stream = await client.open({"kind": "x"})
        piece, count = b"x" * spdy.MAX_DATA, 40
        for _ in range(count):
            await stream.write(piece)
        for _ in range(200):
            await asyncio.sleep(0)
        held = count - ours.queue.qsize()
        assert held * spdy.MAX_DATA <= INBOX_LIMIT + 2 * spdy.MAX_DATA
        size = 0
        while size < count * spdy.MAX_DATA:
            size += len(await accepted[0].read())
        ours.queue.put_nowait(b"")
        await serving

    run(main())
