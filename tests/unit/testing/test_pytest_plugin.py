"""The plugin as its users have it: in a pytest of its own, with nothing else loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """pytest with Podling's plugin alone: whether an entry point names it too depends on how Podling is installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "podling.pytest_plugin", "-p", "no:cacheprovider", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_documented_examples_work(tmp_path):
    """Every example of docs/testing.md passes as it stands there."""
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)
    assert len(examples) == 4
    for number, example in enumerate(examples):
        (tmp_path / f"test_example_{number}.py").write_text(example)
    done = run_pytest(tmp_path, "-W", "error")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_a_test_that_leaves_a_task_fails(tmp_path):
    """What a test starts on the cluster's loop it must end; the fixture says which task was left."""
    (tmp_path / "test_it.py").write_text(
        "import asyncio\n"
        "def test_it(podling_cluster):\n"
        "    async def start():\n"
        "        asyncio.create_task(asyncio.sleep(1000), name='forgotten')\n"
        "    podling_cluster().run(start())\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 1
    assert "tasks left behind: ['forgotten']" in done.stdout


def test_pytest_starts_as_fast_as_before():
    """The plugin loads nothing of Podling, and no library, until a test asks for a cluster."""
    program = (
        "import sys, pytest; before = set(sys.modules); import podling.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["podling", "podling.pytest_plugin"]
