"""WebSocket framing: the standard's examples, round trips in any pieces, and input that means harm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podling.kubelet.server.websocket import Message, Opcode, WebSocketCodec, WebSocketError, accept_key


def test_the_standards_examples() -> None:
    """The handshake's key and the frames of RFC 6455 come out as printed there."""
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert WebSocketCodec().frame(Opcode.TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    masked = bytes.fromhex("818537fa213d7f9f4d5158")
    assert WebSocketCodec().receive(masked) == [Message(Opcode.TEXT, b"Hello")]
    client = WebSocketCodec(client=True)
    assert client.frame(Opcode.TEXT, b"Hello", bytes.fromhex("37fa213d")) == masked
    assert client.receive(bytes.fromhex("010348656c80026c6f")) == [Message(Opcode.TEXT, b"Hello")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=70_000)), max_size=5),
    st.binary(min_size=4, max_size=4),
    st.integers(1, 5000),
)
def test_round_trips_in_any_pieces(messages: list[tuple[Opcode, bytes]], mask: bytes, size: int) -> None:
    """What a client sends the server receives, whatever the mask and however the bytes are cut."""
    client, server = WebSocketCodec(client=True), WebSocketCodec()
    sent = b"".join(client.frame(opcode, data, mask) for opcode, data in messages)
    seen = [it for at in range(0, len(sent), size) for it in server.receive(sent[at : at + size])]
    assert [(it.opcode, it.data) for it in seen] == messages
    assert server.held == 0


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=3000))
def test_noise_neither_hangs_nor_grows(noise: bytes) -> None:
    """Arbitrary bytes lead to messages or to WebSocketError, and never to more held than the limit."""
    server = WebSocketCodec(limit=1000)
    try:
        for at in range(0, len(noise), 100):
            server.receive(noise[at : at + 100])
            assert server.held <= 1000 + 14 + 100
    except WebSocketError as error:
        assert error.code in {1002, 1009}


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        pytest.param("82ff7fffffffffffffff00000000", 1009, id="a frame of 2^63 bytes"),
        pytest.param("810548656c6c6f", 1002, id="an unmasked frame"),
        pytest.param("c18100000000aa", 1002, id="a reserved bit"),
        pytest.param("838100000000aa", 1002, id="an unknown opcode"),
        pytest.param("098100000000aa", 1002, id="a fragmented ping"),
        pytest.param("808100000000aa", 1002, id="a continuation of nothing"),
    ],
)
def test_hostile_frames_are_refused(hostile: str, code: int) -> None:
    """Each is refused with the code that a close frame is to carry."""
    with pytest.raises(WebSocketError) as refused:
        WebSocketCodec().receive(bytes.fromhex(hostile))
    assert refused.value.code == code
