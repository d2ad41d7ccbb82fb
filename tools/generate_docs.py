"""Draw docs/lifecycle.md from the machines that the code runs, so that page and code cannot disagree.

    python tools/generate_docs.py [--check]

`--check` writes nothing and fails if the page is not what the code says.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from podling.lifecycle.container import CONTAINER
from podling.lifecycle.machine import IGNORED
from podling.lifecycle.stages import POD, SHOWN

if TYPE_CHECKING:
    from podling.lifecycle.machine import Machine

PAGE = Path(__file__).parents[1] / "docs" / "lifecycle.md"

_INTRODUCTION = """\
# A Pod's life

Drawn by `make docs` from the tables in `src/podling/lifecycle/`; do not edit. A cell of a table is the state that an
event leads to, `·` for an event that may come and means nothing, or empty for one that cannot come: then the step
raises, and nothing has changed. `tests/machine/lifecycle` walks the whole grid.
"""


def _table(machine: Machine[Any, Any]) -> str:
    events = list(type(next(iter(next(iter(machine.table.values()))))))
    lines = ["| | " + " | ".join(event.name for event in events) + " |", "|---" * (len(events) + 1) + "|"]
    for state, row in machine.table.items():
        cells = []
        for event in events:
            cell = row.get(event)
            cells.append("" if cell is None else "·" if cell is IGNORED else cell.name)
        lines.append(f"| **{state.name}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _section(title: str, machine: Machine[Any, Any], module: str) -> str:
    owner = sys.modules[module]
    first = (inspect.getdoc(owner) or "").split("\n", 1)[0]
    return f"## {title}\n\n{first}\n\n```mermaid\n{machine.mermaid()}```\n\n{_table(machine)}\n"


def _states() -> str:
    lines = ["| state | phase | STATUS in kubectl | what it means |", "|---|---|---|---|"]
    for stage, shown in SHOWN.items():
        status = ", ".join(f"`{text}`" for text in shown.status) or "–"
        lines.append(f"| **{stage.value}** | {', '.join(shown.phases) or '–'} | {status} | {shown.means} |")
    return "## The states\n\n" + "\n".join(lines) + "\n"


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            _INTRODUCTION,
            _states(),
            _section("The Pod", POD, "podling.lifecycle.stages"),
            _section("One container instance", CONTAINER, "podling.lifecycle.container"),
        ]
    )


def main() -> int:
    made = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != made:
            print(f"{PAGE.name} is not what the code says: run make docs", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
