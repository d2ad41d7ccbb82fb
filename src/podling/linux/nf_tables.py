"""The kernel's packet filter by its own messages: transactions, elements, and who else changes it.

Owns the netlink messages about tables, chains, sets, rules and elements. Where `nft` reads what is there before it
changes anything, a transaction from here costs what it says and no more. A `Batch` is a value until `Tables.commit`
sends it. Invariants: a batch is taken whole or not at all, and no packet sees half of it; the kernel's refusal says
which message it was.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from podling.linux import namespaces
from podling.linux.netlink import HEADER, attributes, messages
from podling.linux.nf_expressions import Verdict, attribute, nested, number, text, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_GROUP: Final = 7
_SUBSYSTEM: Final = 10
_BEGIN, _END = 16, 17
_TABLE, _GET_TABLE, _NO_TABLE, _CHAIN, _GET_CHAIN, _NO_CHAIN, _RULE, _NO_RULE, _SET = 0, 1, 2, 3, 4, 5, 6, 8, 9
_NO_SET, _ELEMENTS, _GET_ELEMENTS, _NO_ELEMENTS, _GENERATION, _OBJECT, _GET_OBJECT = 11, 12, 13, 14, 15, 18, 19
_COUNTER: Final = 1
_REQUEST, _ACK, _DUMP, _CREATE, _APPEND = 0x1, 0x4, 0x300, 0x400, 0x800
_ERROR, _DONE = 2, 3
_FAMILY: Final = struct.Struct(">BBH")
_ANY, _INET = 0, 1
_DROPS: Final = 0
"""The policy of a chain that lets nothing pass but what a rule of it does."""
_MOST: Final = 48 << 10
"""Bytes of elements in one message: an attribute's length is sixteen bits."""

_TYPES: Final = {
    "address": (7, 4), "address6": (8, 16), "protocol": (12, 1), "port": (13, 2), "number": (19, 4), "link": (41, 16),
}  # fmt: skip
"""By the name of a field: nft's number for it, for who lists the table, and its bytes."""
_VERDICTS: Final = 0xFFFFFF00
INTERVAL, MAP, TIMEOUT, DYNAMIC, _CONCATENATION = 4, 8, 0x10, 0x20, 0x80

HOOKS: Final = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A set or a map: the fields of its keys and, of a map, of its values; none of those are verdicts."""

    name: str
    key: Sequence[str]
    value: Sequence[str] | None = None
    flags: int = 0
    size: int = 0

    def attributes(self) -> bytes:
        flags = self.flags
        parts = []
        if self.value is not None:
            flags |= MAP
            if self.value:
                parts += [number(6, _concatenated(self.value)), number(7, _length(self.value))]
            else:
                parts.append(number(6, _VERDICTS))
        description = []
        if self.size:
            description.append(number(1, self.size))
        if len(self.key) > 1 and flags & INTERVAL:
            flags |= _CONCATENATION
            fields = [nested(1, number(1, _TYPES[field][1])) for field in self.key]
            description.append(nested(2, *fields))
        if description:
            parts.append(nested(9, *description))
        return b"".join((
            text(2, self.name), number(3, flags), number(4, _concatenated(self.key)), number(5, _length(self.key)),
            *parts,
        ))  # fmt: skip


def _concatenated(fields: Sequence[str]) -> int:
    kind = 0
    for field in fields:
        kind = kind << 6 | _TYPES[field][0]
    return kind


def _length(fields: Sequence[str]) -> int:
    return sum(_TYPES[field][1] + -_TYPES[field][1] % 4 for field in fields)


@dataclass(frozen=True, slots=True)
class Element:
    """An element: its key, its value where the set is a map, and how long it still lives if not for ever."""

    key: bytes
    value: bytes | Verdict | None = None
    end: bytes = b""
    """The last key of an interval that begins with `key`."""
    timeout: float = 0.0
    left: float = 0.0
    closes: bool = False
    """An interval of a set with one field ends before this key: there, intervals are told by their two ends."""

    def encoded(self) -> bytes:
        parts = nested(1, value_of(self.key))
        if self.end:
            parts += nested(10, value_of(self.end))
        if self.closes:
            parts += number(3, 1)
        if self.value is not None:
            inner = self.value.encoded() if isinstance(self.value, Verdict) else value_of(self.value)
            parts += nested(2, inner)
        if self.timeout:
            parts += attribute(4, struct.pack(">Q", int(self.timeout * 1000)))
        if self.left:
            parts += attribute(5, struct.pack(">Q", int(self.left * 1000)))
        return nested(1, parts)


class Batch:
    """One transaction on one table of family inet."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._name = text(1, table)
        self._messages: list[tuple[int, int, bytes]] = []
        self._sets = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add_table(self) -> None:
        """Have the table; it may be there."""
        self._messages.append((_TABLE, _CREATE, self._name))

    def delete_table(self) -> None:
        self._messages.append((_NO_TABLE, 0, self._name))

    def replace_table(self) -> None:
        """Begin with an empty table, whatever there was."""
        self.add_table()
        self.delete_table()
        self.add_table()

    def add_chain(self, name: str, kind: str = "", hook: str = "", priority: int = 0) -> None:
        """Add a chain, or a base chain of `kind` (filter, nat) on a hook."""
        parts = [self._name, text(3, name)]
        if hook:
            parts += [nested(4, number(1, HOOKS[hook]), number(2, priority)), text(7, kind), number(5, 1)]
        self._messages.append((_CHAIN, _CREATE, b"".join(parts)))

    def delete_chain(self, name: str) -> None:
        """Delete a chain with its rules; nothing may lead to it any more."""
        self.empty_chain(name)
        self._messages.append((_NO_CHAIN, 0, self._name + text(3, name)))

    def empty_chain(self, name: str) -> None:
        """Delete the rules of a chain."""
        self._messages.append((_NO_RULE, 0, self._name + text(2, name)))

    def add_set(self, named: NamedSet) -> None:
        self._sets += 1
        self._messages.append((_SET, _CREATE, self._name + named.attributes() + number(10, self._sets)))

    def delete_set(self, name: str) -> None:
        """Delete a set or map with its elements; no rule may look there any more."""
        self._messages.append((_NO_SET, 0, self._name + text(2, name)))

    def add_counter(self, name: str) -> None:
        """Add a counter that rules share; one that is there goes on."""
        start = nested(4, attribute(1, bytes(8)), attribute(2, bytes(8)))
        self._messages.append((_OBJECT, _CREATE, self._name + text(2, name) + number(3, _COUNTER) + start))

    def add_rule(self, chain: str, *expressions: bytes) -> None:
        """Append a rule."""
        parts = self._name + text(2, chain) + nested(4, *expressions)
        self._messages.append((_RULE, _CREATE | _APPEND, parts))

    def add_elements(self, name: str, elements: Iterable[Element]) -> None:
        """Add elements; one that is there with the same value may be."""
        self._elements(_ELEMENTS, _CREATE, name, elements)

    def delete_elements(self, name: str, elements: Iterable[Element]) -> None:
        """Delete elements that are there."""
        self._elements(_NO_ELEMENTS, 0, name, elements)

    def _elements(self, kind: int, flags: int, name: str, elements: Iterable[Element]) -> None:
        head = self._name + text(2, name)
        waiting: list[bytes] = []
        size = 0
        for element in elements:
            waiting.append(element.encoded())
            size += len(waiting[-1])
            if size > _MOST:
                self._messages.append((kind, flags, head + nested(3, *waiting)))
                waiting, size = [], 0
        if waiting:
            self._messages.append((kind, flags, head + nested(3, *waiting)))

    def encoded(self, sequence: int) -> tuple[bytes, int]:
        """Return the bytes of the transaction and the number of its last message, which is acknowledged."""
        subsystem = _FAMILY.pack(0, 0, _SUBSYSTEM)
        parts = [_message(_BEGIN, 0, sequence, subsystem)]
        last = len(self._messages)
        head = _FAMILY.pack(_INET, 0, 0)
        for place, (kind, flags, body) in enumerate(self._messages, 1):
            flags |= _ACK if place == last else 0
            parts.append(_message(_SUBSYSTEM << 8 | kind, flags, sequence + place, head + body))
        parts.append(_message(_END, 0, sequence + last + 1, subsystem))
        return b"".join(parts), sequence + last

    def explain(self, sequence: int, failed: int) -> str:
        """Return what the message with number `failed` was about."""
        place = failed - sequence - 1
        if not 0 <= place < len(self._messages):
            return "the transaction"
        kind, _, body = self._messages[place]
        words = [part.rstrip(b"\0").decode(errors="replace") for _, part in attributes(body[:128]) if len(part) < 64]
        return f"message {place} of kind {kind} on {words[:2]}"


class ClosedChain(NamedTuple):
    """A chain that drops by itself."""

    family: int
    """The packet filter's: 2 and 10 as addresses have it, 1 for both of those."""
    table: str
    name: str


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    length = HEADER.size + len(body)
    return HEADER.pack(length, kind, flags | _REQUEST, sequence, 0) + body + b"\0" * (-length % 4)


class Tables:
    """A conversation with the packet filter of one network namespace. Blocks; not for several threads at once."""

    def __init__(self, namespace: str = "") -> None:
        self._socket = _open(namespace)
        self._sequence = 0
        self.sender: int = self._socket.getsockname()[0]
        """What marks this conversation's changes where others are told of them."""

    def close(self) -> None:
        self._socket.close()

    def commit(self, batch: Batch) -> None:
        """Carry out a transaction; `OSError` says what was refused, and that nothing was changed."""
        if not len(batch):
            return
        begin = self._sequence + 1
        data, last = batch.encoded(begin)
        self._sequence = last + 1
        _resize(self._socket, _SO_SNDBUFFORCE, 2 * len(data) + 65536)
        self._socket.send(data)
        while True:
            for kind, sequence, _, body in messages(self._socket.recv(1 << 17)):
                if kind != _ERROR or not begin <= sequence <= last + 1:
                    continue
                code = -struct.unpack_from("=i", body)[0]
                if code:
                    raise OSError(code, f"{batch.table}: {batch.explain(begin, sequence)}: {os.strerror(code)}")
                if sequence == last:
                    return

    def has_table(self, table: str) -> bool:
        try:
            self._ask(_GET_TABLE, 0, text(1, table))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True

    def counter(self, table: str, name: str) -> int:
        """Return the packets that a table's counter has counted; 0 where there is none."""
        try:
            answers = self._ask(_GET_OBJECT, 0, text(1, table) + text(2, name) + number(3, _COUNTER))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return 0
        for body in answers:
            found = dict(attributes(body[_FAMILY.size :]))
            return int.from_bytes(dict(attributes(found.get(4, b""))).get(2, b""), "big")
        return 0

    def elements(self, table: str, name: str) -> Sequence[Element]:
        """Return the elements of a set or map with plain values; none where there is no such set."""
        try:
            answers = self._ask(_GET_ELEMENTS, _DUMP, text(1, table) + text(2, name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return []
        return [element for body in answers for element in _read(body)]

    def closed_chains(self, hook: str) -> Sequence[ClosedChain]:
        """Return the chains on a hook, whoever's, that drop whatever none of their rules lets pass."""
        found = []
        for body in self._ask(_GET_CHAIN, _DUMP, b"", _ANY):
            held = dict(attributes(body[_FAMILY.size :]))
            where = dict(attributes(held.get(4, b"")))
            if where.get(1) == struct.pack(">I", HOOKS[hook]) and held.get(5) == struct.pack(">I", _DROPS):
                table, name = (held[which].rstrip(b"\0").decode(errors="replace") for which in (1, 3))
                found.append(ClosedChain(body[0], table, name))
        return found

    def _ask(self, kind: int, flags: int, body: bytes, family: int = _INET) -> list[bytes]:
        self._sequence += 1
        if not flags & _DUMP:
            flags |= _ACK
        self._socket.send(_message(_SUBSYSTEM << 8 | kind, flags, self._sequence, _FAMILY.pack(family, 0, 0) + body))
        answers: list[bytes] = []
        while True:
            for answer, sequence, _, content in messages(self._socket.recv(1 << 17)):
                if sequence != self._sequence:
                    continue
                if answer == _DONE:
                    return answers
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", content)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return answers
                answers.append(content)


def _read(body: bytes) -> Iterator[Element]:
    for kind, listed in attributes(body[_FAMILY.size :]):
        if kind != 3:
            continue
        for _, one in attributes(listed):
            found = dict(attributes(one))
            key = dict(attributes(found.get(1, b""))).get(1, b"")
            value = dict(attributes(found[2])).get(1) if 2 in found else None
            timeout, left = (int.from_bytes(found.get(which, b""), "big") / 1000 for which in (4, 5))
            yield Element(key, value, timeout=timeout, left=left)


def _open(namespace: str) -> socket.socket:
    def open_socket() -> socket.socket:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        try:
            opened.bind((0, 0))
        except BaseException:
            opened.close()
            raise
        return opened

    return namespaces.inside(namespace, open_socket)


def _resize(opened: socket.socket, option: int, size: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, option, size)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, option - 25, size)


class TableWatch:
    """Calls `disturbed` on the running loop when anybody but `sender` changes one of `tables`.

    It is told `True` for what was seen, `False` where the kernel had to drop news, so that somebody may have.
    """

    def __init__(
        self, namespace: str, tables: tuple[str, ...], sender: int, disturbed: Callable[[bool], object]
    ) -> None:
        self._disturbed = disturbed
        self._sender = sender
        self._names = frozenset(table.encode() for table in tables)
        self._socket = _open(namespace)
        _resize(self._socket, _SO_RCVBUFFORCE, 4 << 20)
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(1 << 17)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._disturbed(False)
            return
        for kind, _, sender, body in messages(data):
            if sender == self._sender or kind >> 8 != _SUBSYSTEM or kind & 0xFF == _GENERATION:
                continue
            name = next((part for which, part in attributes(body[_FAMILY.size :]) if which == 1), b"")
            if name.rstrip(b"\0") in self._names:
                self._disturbed(True)
                return

    def close(self) -> None:
        """Stop watching."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
