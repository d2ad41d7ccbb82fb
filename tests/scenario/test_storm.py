"""A whole cluster in a storm of faults: it converges, and the same seed is the same history to the last byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from podling.testing.log import first_difference
from tests.scenario.storm import Storm, storm

ROOT = Path(__file__).parents[2]


def begin(file: Path, hash_seed: int, *numbers: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    words = [sys.executable, "-m", "tests.scenario.storm", str(file), *map(str, numbers)]
    return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE)


def test_a_seed_is_one_history_in_every_process(tmp_path):
    """20 nodes, 500 Pods, all faults: two processes with different hash seeds commit the same bytes in the same order."""
    processes = {tmp_path / f"{seed}.json": begin(tmp_path / f"{seed}.json", seed, 7, 20, 500) for seed in (1, 4242)}
    runs = []
    try:
        for file, process in processes.items():
            _, said = process.communicate(timeout=100)
            assert process.returncode == 0, said[-4000:]
            runs.append(msgspec.json.decode(file.read_bytes(), type=Storm))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
            process.stderr.close()
    one, other = runs
    assert one.digest == other.digest, first_difference(one.log, other.log)
    assert len(one.log) > 5000
    assert one.unsettled == []
    assert one.failures == 0
    assert sorted(one.dealt) == ["broken_watches", "conflicts", "lost_events", "refusals"]
    assert sum(one.phases.values()) == 400
    assert sorted(one.phases) == ["Failed", "Pending", "Running", "Succeeded"]


def test_another_seed_is_another_history(run):
    """The log tells runs apart: seeds that differ give logs that do, and a difference is named by its first line."""

    async def main():
        one, other = await storm(1, 2, 20), await storm(2, 2, 20)
        assert one.digest != other.digest
        assert first_difference(one.log, one.log) == ""
        assert first_difference(one.log, other.log).startswith("line ")

    run(main())


def test_heavy_weather_is_survived(run):
    """A tenth of all watch events lost without a word, a tenth of all updates refused: all the same it comes right."""

    async def main():
        odds = {"lost_events": 0.1, "broken_watches": 0.02, "conflicts": 0.1, "refusals": 0.05}
        for seed in (3, 9):
            came = await storm(seed, 5, 80, odds)
            assert came.unsettled == []
            assert came.failures == 0
            assert came.dealt["lost_events"] > 50

    run(main())
