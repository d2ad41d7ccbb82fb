"""From an HTTP request to a stream: which protocol, in which version, answered how.

Owns the negotiation of `Upgrade`, `Sec-WebSocket-Protocol` and `X-Stream-Protocol-Version`, and the 101. Refusals are
plain text with upstream's sentences, which clients print as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.kubelet.server.lookup import Refusal
from podling.kubelet.server.websocket import accept_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multidict import CIMultiDictProxy


def listed(headers: CIMultiDictProxy[str], name: str) -> list[str]:
    """Return the values of a header that may stand several times and hold several values."""
    return [word.strip() for text in headers.getall(name, ()) for word in text.split(",") if word.strip()]


def wants_websocket(headers: Mapping[str, str]) -> bool:
    return _upgrades(headers) and headers.get("Upgrade", "").lower() == "websocket"


def wants_spdy(headers: Mapping[str, str]) -> bool:
    return _upgrades(headers) and headers.get("Upgrade", "").lower() == "spdy/3.1"


def _upgrades(headers: Mapping[str, str]) -> bool:
    return "upgrade" in headers.get("Connection", "").lower()


def switch_to_websocket(headers: CIMultiDictProxy[str], supported: Sequence[str]) -> tuple[str, bytes]:
    """Return the agreed protocol ("" if the client named none) and the answer's head; `Refusal` if there is none."""
    offered = listed(headers, "Sec-WebSocket-Protocol")
    chosen = next((it for it in offered if it in supported), "")
    if offered and not chosen:
        raise Refusal(
            400, f"unable to upgrade: requested protocol(s) are not supported: {offered}; supports {supported}"
        )
    key = headers.get("Sec-WebSocket-Key", "")
    if not key or headers.get("Sec-WebSocket-Version", "") != "13":
        raise Refusal(400, "unable to upgrade: missing or bad WebSocket version or key")
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += f"Sec-WebSocket-Accept: {accept_key(key)}\r\n"
    if chosen:
        head += f"Sec-WebSocket-Protocol: {chosen}\r\n"
    return chosen, head.encode() + b"\r\n"


def switch_to_spdy(headers: CIMultiDictProxy[str], supported: Sequence[str]) -> tuple[str, bytes]:
    """Return the agreed version ("" if the client named none) and the answer's head; `Refusal` if there is none."""
    offered = listed(headers, "X-Stream-Protocol-Version")
    chosen = next((it for it in offered if it in supported), "")
    if offered and not chosen:
        raise Refusal(
            403,
            "unable to upgrade: unable to negotiate protocol: "
            f"client supports [{' '.join(offered)}], server accepts [{' '.join(supported)}]",
        )
    head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    if chosen:
        head += f"X-Stream-Protocol-Version: {chosen}\r\n"
    return chosen, head.encode() + b"\r\n"
