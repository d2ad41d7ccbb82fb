"""The gRPC health protocol, one call of it, on a bare HTTP/2 connection.

Owns `grpc.health.v1.Health/Check` over `h2`, which is loaded when the first such probe is made. Knows no probe.
Invariants: at most 16 KiB of an answer are kept; whatever the other side sends ends in a code, never in an error of
another library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

_PATH: Final = "/grpc.health.v1.Health/Check"
_LIMIT: Final = 16 * 1024
_UNKNOWN: Final = 2
_INTERNAL: Final = 13
_UNAVAILABLE: Final = 14
_SERVING: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_HTTP_CODES: Final = {"400": 13, "401": 16, "403": 7, "404": 12, "429": 14, "502": 14, "503": 14, "504": 14}


async def check_health(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str, timeout: float
) -> tuple[int, str, str]:
    """Return the call's gRPC code, its message, and the health that the service told."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import (
        ConnectionTerminated,
        DataReceived,
        ResponseReceived,
        StreamEnded,
        StreamReset,
        TrailersReceived,
    )
    from h2.exceptions import ProtocolError

    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _PATH),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.37 grpc"),
        ("te", "trailers"),
        ("grpc-timeout", f"{int(timeout * 1000)}m"),
    ]
    connection.send_headers(1, headers)
    connection.send_data(1, _request(service), end_stream=True)
    writer.write(connection.data_to_send())
    await writer.drain()
    body = bytearray()
    told: dict[str, str] = {}
    while True:
        data = await reader.read(_LIMIT)
        if not data:
            return _UNAVAILABLE, "error reading server preface: EOF", ""
        try:
            events = connection.receive_data(data)
        except (ProtocolError, UnicodeDecodeError) as error:
            return _UNAVAILABLE, f"connection error: {error}", ""
        for event in events:
            if isinstance(event, (ResponseReceived, TrailersReceived)):
                told.update(_texts(event.headers))
            elif isinstance(event, DataReceived):
                body += event.data[: _LIMIT - len(body)]
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, StreamReset):
                return _INTERNAL, f"stream terminated by RST_STREAM with error code: {event.error_code}", ""
            elif isinstance(event, ConnectionTerminated):
                return _UNAVAILABLE, "the connection is draining", ""
            elif isinstance(event, StreamEnded):
                return _verdict(told, bytes(body))
        pending = connection.data_to_send()
        if pending:
            writer.write(pending)
            await writer.drain()


def _texts(headers: Iterable[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in headers}


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _request(service: str) -> bytes:
    name = service.encode()[:4096]
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _verdict(told: dict[str, str], body: bytes) -> tuple[int, str, str]:
    status = told.get("grpc-status", "")
    message = unquote(told.get("grpc-message", ""))
    if not status.isdigit():
        http = told.get(":status", "")
        return _HTTP_CODES.get(http, _UNKNOWN), f"unexpected HTTP status code received from server: {http}", ""
    if int(status):
        return int(status), message, ""
    # A message is one byte of compression, four of length, and fields: number 1 is the status.
    fields = body[5:]
    number = fields[1] if len(fields) >= 2 and fields[0] == 0x08 else 0
    return 0, message, _SERVING[number] if number < len(_SERVING) else str(number)
