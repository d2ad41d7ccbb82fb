"""Upstream's event correlation: repeats are counted, look-alikes aggregated, floods cut.

Owns what a recorder remembers of the events it has written. Pure; time comes in as seconds since the epoch. Answers to
client-go's `EventCorrelator`: one more event of a source, object, reason and message raises the first one's count; from
the tenth message of one kind within ten minutes on, all are told as one "(combined from similar events)"; a source may
write 25 events about an object at once and one more each five minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import ObjectReference

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

SIMILAR = 10
SIMILAR_WITHIN = 600.0
BURST = 25
REFILL = 300.0
_REMEMBERED = 4096
_COMBINED = "(combined from similar events): "


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing to be told, before anything is known of others like it."""

    about: ObjectReference
    component: str
    host: str
    type: str
    reason: str
    message: str
    at: float
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Told:
    """An event as it stands in the cluster, as far as this recorder knows."""

    name: str = ""
    """Empty until it has been created."""
    count: int = 0
    first: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be written: `told` with its count already raised, under `message`."""

    told: Told
    message: str
    combined: bool


@dataclass(slots=True)
class _Similar:
    messages: dict[str, None] = field(default_factory=dict)
    last: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class _Remembered(Generic[_Key, _Value]):
    """The most recently used entries."""

    def __init__(self) -> None:
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: _Key, value: _Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)


class Correlator:
    """Decides for each happening whether and how it is told."""

    def __init__(self) -> None:
        self._similar: _Remembered[tuple[str, ...], _Similar] = _Remembered()
        self._told: _Remembered[tuple[str, ...], Told] = _Remembered()
        self._buckets: _Remembered[tuple[str, ...], _Bucket] = _Remembered()

    def observe(self, what: Happening, now: float) -> Verdict | None:
        """Take a happening in; `None` where the source has said too much about the object."""
        about = what.about
        spam = (what.component, what.host, about.kind, about.namespace, about.name, about.uid, about.api_version)
        alike = (*spam, what.type, what.reason)
        combined = self._is_one_of_many(alike, what.message, now)
        key = alike if combined else (*alike, about.field_path, what.message)
        told = self._told.get(key)
        if told is None:
            told = Told(first=what.at)
            self._told.put(key, told)
        told.count += 1
        if not self._may_tell(spam, now):
            return None
        return Verdict(told, _COMBINED + what.message if combined else what.message, combined)

    def _is_one_of_many(self, alike: tuple[str, ...], message: str, now: float) -> bool:
        similar = self._similar.get(alike)
        if similar is None or now - similar.last > SIMILAR_WITHIN:
            similar = _Similar()
            self._similar.put(alike, similar)
        similar.messages[message] = None
        similar.last = now
        if len(similar.messages) < SIMILAR:
            return False
        del similar.messages[next(iter(similar.messages))]
        return True

    def _may_tell(self, spam: tuple[str, ...], now: float) -> bool:
        bucket = self._buckets.get(spam)
        if bucket is None:
            bucket = _Bucket(float(BURST), now)
            self._buckets.put(spam, bucket)
        bucket.tokens = min(float(BURST), bucket.tokens + max(0.0, now - bucket.at) / REFILL)
        bucket.at = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True
