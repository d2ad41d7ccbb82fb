"""Draw pages from what they speak of, so that neither can say what the other does not.

    python tools/generate_docs.py [--check]

docs/lifecycle.md is drawn from the machines that the code runs, docs/conformance.md from `tests/conformance.py`.
`--check` writes nothing and fails if a page is not what its source says.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from tests import conformance

from podling.lifecycle.container import CONTAINER
from podling.lifecycle.machine import IGNORED
from podling.lifecycle.stages import POD, SHOWN

if TYPE_CHECKING:
    from podling.lifecycle.machine import Machine

DOCS = Path(__file__).parents[1] / "docs"

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


def lifecycle() -> str:
    """Return the page about a Pod's life."""
    return "\n".join(
        [
            _INTRODUCTION,
            _states(),
            _section("The Pod", POD, "podling.lifecycle.stages"),
            _section("One container instance", CONTAINER, "podling.lifecycle.container"),
        ]
    )


_CASES = f"""\
# Upstream's conformance suite

Drawn by `make docs` from `tests/conformance.py`; do not edit. The suite's own programs and images are not part of this
repository; what its cases ask of a cluster is, as tests that `make test` runs. Names are those of release
{conformance.RELEASE}, without their tags in brackets; `tests/unit/test_conformance.py` holds that each test is there.
StatefulSets have not been gone through yet.
"""


def cases() -> str:
    """Return the page about upstream's cases."""
    made = [_CASES]
    for section, shown in conformance.SHOWN.items():
        missing = conformance.NOT_SHOWN.get(section, {})
        made.append(f"## {section}: {len(shown)} of {len(shown) + len(missing)}\n")
        made += ["| case | shown by |", "|---|---|"]
        for name, tests in shown.items():
            named = (tests,) if isinstance(tests, str) else tests
            made.append(f"| {name.replace('*', chr(92) + '*')} | {', '.join(f'`{test}`' for test in named)} |")
        made += [f"| {name} | *not yet: {why}* |" for name, why in missing.items()]
        made.append("")
    return "\n".join(made)


PAGES = {"lifecycle.md": lifecycle, "conformance.md": cases}


def main() -> int:
    for name, drawn in PAGES.items():
        page, made = DOCS / name, drawn()
        if "--check" not in sys.argv[1:]:
            page.write_text(made)
        elif not page.exists() or page.read_text() != made:
            print(f"{name} is not what the code says: run make docs", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
