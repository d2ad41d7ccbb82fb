"""Memory and CPU of a cluster's processes: Podling and everything that it started, the containers' own aside."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def of_cluster(main: int, marks: tuple[str, ...]) -> list[int]:
    """Return Podling's pid, its children, and what it left running apart: commands that carry one of `marks`."""
    found = [main]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == main:
            continue
        try:
            command = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int(_stat(int(entry.name))[1])
        except OSError:
            continue
        if parent == main or (command and any(mark in command for mark in marks)):
            found.append(int(entry.name))
    return found


def pss_megabytes(pids: list[int]) -> float:
    """Sum of the proportional set sizes."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024


def cpu_seconds(pids: list[int]) -> float:
    """User and system time so far."""
    total = 0.0
    for pid in pids:
        try:
            fields = _stat(pid)
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def wakings(pids: list[int]) -> int:
    """How often threads have gone to sleep, and so been woken, so far."""
    total = 0
    for pid in pids:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            try:
                text = status.read_text()
            except OSError:
                continue
            total += int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def at_rest(pids: list[int], seconds: float) -> tuple[float, float]:
    """Percent of one core used over the next `seconds`, and wake-ups a second."""
    cpu, woken, began = cpu_seconds(pids), wakings(pids), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return 100 * (cpu_seconds(pids) - cpu) / took, (wakings(pids) - woken) / took
