"""Everybody calls everybody: listeners in network namespaces, and calls between them, all at once, in one family."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from podling.linux import namespaces
from podling.linux.families import Family

KINDS: Final = {"TCP": (socket.SOCK_STREAM, 6), "UDP": (socket.SOCK_DGRAM, 17), "SCTP": (socket.SOCK_STREAM, 132)}
NUMBERS: Final = (80, 81)
PATIENCE: Final = 0.25

Key = tuple[str, str]
"""Namespace and name of a Pod."""
Call = tuple[Key, Key, str, int]
"""From which Pod, to which, by which protocol, to which port."""


class Ends:
    """Listeners in every Pod, and calls from every Pod to all others, in one family."""

    def __init__(self, spaces: Mapping[Key, str], family: Family, addresses: Mapping[Key, str]) -> None:
        """Listen: the network namespace of each Pod is pinned in `spaces`."""
        self._spaces = spaces
        self._family = family
        self._addresses = addresses
        self._words = itertools.count()
        self._listeners: dict[tuple[Key, str, int], socket.socket] = {}
        self.kinds = [kind for kind in KINDS if self._supported(kind)]
        for key, space in spaces.items():
            for kind, number in itertools.product(self.kinds, NUMBERS):
                opened = namespaces.inside(space, lambda k=kind, n=number: self._bound(k, n))
                self._listeners[key, kind, number] = opened
        pairs = list(itertools.permutations(spaces, 2))
        self.calls: list[Call] = [
            (*pair, kind, number) for pair in pairs for kind in self.kinds for number in NUMBERS
        ]  # fmt: skip

    def _supported(self, kind: str) -> bool:
        try:
            self._opened(kind).close()
        except OSError:
            return False
        return True

    def judged(self, promised: Mapping[Call, bool]) -> dict[Call, bool]:
        """Make the calls that something is promised of; return which got through.

        What is not as promised is asked again, with more patience: on a busy machine it may have been late.
        """
        got = self.through(list(promised), PATIENCE)
        late = [call for call, expected in promised.items() if got[call] is not expected]
        return got | (self.through(late, 6 * PATIENCE) if late else {})

    def through(self, calls: Sequence[Call], patience: float) -> dict[Call, bool]:
        """Make all calls at once; return which got through."""
        made: dict[Call, socket.socket] = {}
        for here, space in self._spaces.items():
            mine = [call for call in calls if call[0] == here]
            opened = namespaces.inside(space, lambda m=mine: [self._opened(call[2]) for call in m])
            made.update(zip(mine, opened, strict=True))
        words = {call: str(next(self._words)) for call in made}
        for call, connection in made.items():
            _, there, kind, number = call
            with contextlib.suppress(BlockingIOError):
                connection.connect((self._addresses[there], number))
            if kind == "UDP":
                connection.send(words[call].encode())
        time.sleep(patience)
        heard = {key: set(_drained(listener, key[1])) for key, listener in self._listeners.items()}
        got = {
            call: words[call] in heard[call[1:]] if call[2] == "UDP" else _connected(connection)
            for call, connection in made.items()
        }
        for connection in made.values():
            connection.close()
        return got

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()

    def _bound(self, kind: str, number: int) -> socket.socket:
        listener = self._opened(kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._family.version == 6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("", number))
        if kind != "UDP":
            listener.listen(64)
        return listener

    def _opened(self, kind: str) -> socket.socket:
        opened = socket.socket(self._family.number, *KINDS[kind])
        opened.setblocking(False)
        return opened


def _connected(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError as error:
        assert error.errno == errno.ENOTCONN
        return False
    return True


def _drained(listener: socket.socket, kind: str) -> Iterator[str]:
    with contextlib.suppress(BlockingIOError):
        while True:
            if kind == "UDP":
                yield listener.recv(100).decode()
            else:
                listener.accept()[0].close()
