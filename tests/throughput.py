"""How many bits a second pass between two network namespaces."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from podling.linux import namespaces


def throughput(sender: str, receiver: str, address: str, seconds: float) -> float:
    """Return the bits per second that come from one namespace to another over TCP, after the bucket is empty."""

    def listener() -> socket.socket:
        return socket.create_server((address, 7000))

    def caller() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    with namespaces.inside(receiver, listener) as listening, namespaces.inside(sender, caller) as sending:
        sending.connect((address, 7000))
        received, _ = listening.accept()
        received.settimeout(5)
        ending = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):
                while not ending.is_set():
                    sending.send(bytes(1 << 14))

        thread = threading.Thread(target=send)
        thread.start()
        try:
            with received:
                _count(received, 0.3)
                return _count(received, seconds) * 8 / seconds
        finally:
            ending.set()
            with contextlib.suppress(OSError):
                sending.shutdown(socket.SHUT_RDWR)
            thread.join()


def _count(connection: socket.socket, seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += len(connection.recv(1 << 16))
    return count
