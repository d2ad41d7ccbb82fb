"""The rules of the house that no linter knows, read from the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "podling"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "types" not in path.relative_to(SOURCE).parts[:2])


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _attribute_uses(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "random", "secrets", "uuid"}:
            yield f"from {node.module}", node.lineno


def _calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


TIME_AND_CHANCE = {
    "time.time", "time.monotonic", "time.perf_counter", "time.sleep", "time.time_ns", "asyncio.sleep", "asyncio.timeout",
    "asyncio.wait_for", "datetime.now", "datetime.utcnow", "random.random", "random.choice", "random.randrange",
    "os.urandom", "uuid.uuid4", "secrets.token_hex", "from time", "from random", "from secrets", "from uuid",
}  # fmt: skip

HANDS = {
    "subprocess.Popen", "subprocess.run", "subprocess.check_output", "os.system", "os.fork", "os.posix_spawn",
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "socket.socket", "os.setns", "os.unshare",
    "os.kill", "os.killpg", "os.waitpid", "fcntl.ioctl",
}  # fmt: skip


def test_time_and_chance_have_one_source() -> None:
    """Nothing but aio reads a clock, sleeps or makes randomness (the commands wait for people, not for Pods)."""
    found = [
        f"{_room(path)}:{line} {use}"
        for path in FILES
        if _room(path).split("/")[0] not in {"aio", "cli"}
        for use, line in _attribute_uses(ast.parse(path.read_text()))
        if use in TIME_AND_CHANCE
    ]
    assert found == []


def test_only_linux_handles_processes_and_sockets() -> None:
    """Every process of a node is made, signalled and reaped in linux/, every socket made there (the commands are no node)."""
    found = [
        f"{_room(path)}:{line} {use}"
        for path in FILES
        if _room(path).split("/")[0] not in {"linux", "cli"}
        for use, line in _calls(ast.parse(path.read_text()))
        if use in HANDS
    ]
    assert found == []


def test_only_the_supervisor_swallows_exceptions() -> None:
    """A bare `except Exception` that does not raise again stands in the supervisor alone, or gives its reason."""
    found = []
    for path in FILES:
        if _room(path) == "aio/supervisor.py":
            continue
        text = path.read_text()
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
            )
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if broad and not raises and "# boundary:" not in lines[node.lineno - 1]:
                found.append(f"{_room(path)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=_room)
def test_every_module_says_what_it_owns(path: Path) -> None:
    """Each module that holds code begins with a docstring."""
    tree = ast.parse(path.read_text())
    if tree.body:
        assert ast.get_docstring(tree)


DOCS = SOURCE.parents[1] / "docs"
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{page.relative_to(DOCS).as_posix()}" for page in DOCS.rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_name_what_there_is(page: str) -> None:
    """Each file and folder that a page names or links to exists: below the root or src/podling, or by its name alone."""
    root = SOURCE.parents[1]
    text = (root / page).read_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    named = re.findall(r"`((?:\w+/)*\w+\.(?:py|md|lua|yaml|toml)|(?:\w+/)+)`", prose)
    linked = [(root / page).parent / link.partition("#")[0] for link in re.findall(r"\]\(([^):#]+[^):]*)\)", prose)]
    files = {path.name for path in (root / "tests").rglob("*.py")} | {path.name for path in SOURCE.rglob("*.py")}
    missing = [
        name
        for name in named
        if not (root / name).exists() and not (SOURCE / name).exists() and not ("/" not in name and name in files)
    ]
    assert missing + [str(link) for link in linked if not link.exists()] == []
