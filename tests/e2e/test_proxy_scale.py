"""A thousand Services: what one change costs, and what all of them at a start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

BENCH = Path(__file__).parents[2] / "bench" / "services.py"


@pytest.mark.parametrize("families", ["single", "dual"])
def test_a_change_costs_the_same_among_ten_services_and_a_thousand(families: str) -> None:
    """Within 50 ms at median, at most twice that of ten Services, and 3 s for all of them: the best of three tries."""
    tries = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, str(BENCH), families], capture_output=True, text=True, check=True, timeout=60
        )
        few, many = json.loads(done.stdout)
        tries.append((few["change"], many["change"], many["install"]))
        if many["change"] <= min(50, 2 * few["change"]) and many["install"] <= 3:
            return
    raise AssertionError(f"ms for one of 10, of 1000, s for all: {tries}")
