"""What the server counts of itself, by upstream's metric names, in Prometheus's text form.

Owns the counters. A request costs one dictionary look-up and three additions; everything else is done when asked.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.aio.clock import Clock
    from podling.apiserver.cache import WatchCache
    from podling.apiserver.paths import Routes
    from podling.apiserver.record import Attributes

_BUCKETS = (
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    8.0,
    10.0,
    20.0,
    30.0,
    60.0,
)
_LAG_INTERVAL = 2.0


@dataclass(slots=True)
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counters of one API server."""

    def __init__(self, clock: Clock, cache: WatchCache, routes: Routes) -> None:
        self._clock = clock
        self._cache = cache
        self._routes = routes
        self._requests: dict[tuple[str, ...], int] = {}
        self._durations: dict[tuple[str, ...], _Histogram] = {}
        self.loop_lag = 0.0
        """Seconds by which the loop was late when it was last measured."""
        self.longest_lag = 0.0

    def request(self, attributes: Attributes, code: int, seconds: float) -> None:
        """Count one answered request."""
        labels = (
            attributes.verb.upper(),
            attributes.group,
            attributes.version,
            attributes.resource,
            attributes.subresource,
            "resource" if attributes.name else "namespace" if attributes.namespace else "cluster",
        )
        counted = (*labels, str(code))
        self._requests[counted] = self._requests.get(counted, 0) + 1
        if attributes.verb != "watch":
            histogram = self._durations.get(labels)
            if histogram is None:
                histogram = self._durations[labels] = _Histogram()
            histogram.observe(seconds)

    async def measure_lag(self) -> None:
        """Measure for ever how late the loop wakes whom it was to wake."""
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(_LAG_INTERVAL)
            self.loop_lag = max(0.0, self._clock.monotonic() - before - _LAG_INTERVAL)
            self.longest_lag = max(self.longest_lag, self.loop_lag)

    def text(self) -> str:
        """Return everything in Prometheus's text form."""
        lines: list[str] = []
        names = ("verb", "group", "version", "resource", "subresource", "scope", "code")
        _head(lines, "apiserver_request_total", "counter", "Counter of apiserver requests.")
        for labels, count in self._requests.items():
            lines.append(f"apiserver_request_total{_labels(names, labels)} {count}")
        _head(lines, "apiserver_request_duration_seconds", "histogram", "Response latency in seconds.")
        for labels, histogram in self._durations.items():
            _histogram(lines, "apiserver_request_duration_seconds", names, labels, histogram)
        _head(lines, "apiserver_storage_objects", "gauge", "Number of stored objects, by kind.")
        _watching = "apiserver_longrunning_requests"
        stored = [record for record in self._routes.records() if record.stored_as is None]
        for record in stored:
            resource = f"{record.resource.plural}.{record.resource.group}".rstrip(".")
            size = len(self._cache.shelf(record.key_prefix))
            lines.append(f"apiserver_storage_objects{_labels(('resource',), (resource,))} {size}")
        _head(lines, _watching, "gauge", "Watches that are open, by kind.")
        for record in stored:
            labels = ("WATCH", record.resource.group, record.resource.version, record.resource.plural)
            watching = self._cache.shelf(record.key_prefix).watching
            lines.append(f"{_watching}{_labels(names, labels)} {watching}")
        _head(lines, "podling_event_loop_lag_seconds", "gauge", "How late the event loop was when last measured.")
        lines.append(f"podling_event_loop_lag_seconds {self.loop_lag:.6f}")
        lines.extend(_process())
        return "\n".join(lines) + "\n"


def _head(lines: list[str], name: str, kind: str, text: str) -> None:
    lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = (f'{name}="{value}"' for name, value in zip(names, values, strict=False))
    return "{" + ",".join(pairs) + "}"


def _histogram(
    lines: list[str], name: str, names: tuple[str, ...], labels: tuple[str, ...], histogram: _Histogram
) -> None:
    seen = 0
    for bound, count in zip((*(f"{it:g}" for it in _BUCKETS), "+Inf"), histogram.counts, strict=True):
        seen += count
        lines.append(f"{name}_bucket{_labels((*names[: len(labels)], 'le'), (*labels, bound))} {seen}")
    lines.append(f"{name}_sum{_labels(names, labels)} {histogram.total:.6f}")
    lines.append(f"{name}_count{_labels(names, labels)} {seen}")


def _process() -> list[str]:
    """Return the process's own figures, of which the kernel knows all."""
    import os
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    lines: list[str] = []
    _head(lines, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.")
    lines.append(f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.2f}")
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        pages = int(file.read().split()[1])
    _head(lines, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.")
    lines.append(f"process_resident_memory_bytes {pages * os.sysconf('SC_PAGE_SIZE')}")
    _head(lines, "process_open_fds", "gauge", "Number of open file descriptors.")
    lines.append(f"process_open_fds {len(os.listdir('/proc/self/fd'))}")  # noqa: PTH208
    return lines
