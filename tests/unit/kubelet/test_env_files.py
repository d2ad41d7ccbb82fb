"""Variables in files: a part of the shell's own language, read from nowhere but their volume."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podling.api.types.core_v1 import FileKeySelector
from podling.kubelet import env_files
from podling.kubelet.env_files import BadEnvFile, parse_env, value_aside, value_in_file
from podling.kubelet.objects import MissingReference

READ = [
    ("A='1'\nB='2'\n", "B", "2"),
    ("   A='1'\n\tB='2'", "B", "2"),
    ("# first\n\n  # second\nA='1' # third\n", "A", "1"),
    ("A='x#y'\nA='later'", "A", "x#y"),
    ("A='  kept  '", "A", "  kept  "),
    ("A='one\n\n  two\\n$HOME \"q\"'\nB='2'", "A", 'one\n\n  two\\n$HOME "q"'),
    ("A='one\ntwo'\nB='2'", "B", "2"),
    ("A='k=v=w'", "A", "k=v=w"),
    ("A=''\n", "A", ""),
    ("A='1'\r\nB='2'\r\n", "B", "2"),
    ("A='1'", "B", ""),
    ("", "A", ""),
]


@pytest.mark.parametrize(("text", "key", "value"), READ)
def test_values_are_what_a_shell_would_set(text: str, key: str, value: str) -> None:
    """Between single quotes everything is itself; the first of a name counts (a shell's last would)."""
    assert parse_env(text, key) == value
    if "\r" not in text and text.count(f"{key}=") < 2:
        shell = subprocess.run(
            ["sh", "-c", f'{text}\nprintf %s "${{{key}}}"'], capture_output=True, text=True, check=True
        )
        assert shell.stdout == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A = '1'", "at line 1: whitespace before '=' is not allowed"),
        ("A= '1'", "at line 1: value must be enclosed in single quotes"),
        ("A=1", "at line 1: value must be enclosed in single quotes"),
        ("X='1'\nA=\"1\"", "at line 2: value must be enclosed in single quotes"),
        ("X='1\n2'\nA='1'x", "at line 3: unexpected content after closing quote"),
        ("A='1''2'", "at line 1: unexpected content after closing quote"),
        ("A='1'#x", "at line 1: unexpected content after closing quote"),
        ("X='1'\nnonsense\nA='1'", "at line 2"),
        ("='1'\nA='1'", "at line 1"),
        ("A='1", "at line 1: unclosed single quote"),
    ],
)
def test_what_is_not_of_the_format_is_refused(text: str, words: str) -> None:
    """With the line, in upstream's words."""
    with pytest.raises(BadEnvFile) as refused:
        parse_env(text, "A")
    assert words in str(refused.value)


@given(st.text(alphabet="AB='# \n\\\"x"), st.sampled_from(["A", "B", ""]))
def test_no_text_breaks_the_reader(text: str, key: str) -> None:
    """Any text gives a value or a refusal."""
    with contextlib.suppress(BadEnvFile):
        assert isinstance(parse_env(text, key), str)


def test_files_are_found_in_their_volume_only(tmp_path: Path) -> None:
    """Links are the volume's own; pipes and floods are refused; what is optional may be missing."""
    volume = tmp_path / "v"
    volume.mkdir()
    (volume / "good").write_text("A='1'\nE=''")
    (tmp_path / "secret").write_text("A='stolen'")
    (volume / "up").symlink_to("../secret")
    (volume / "host").symlink_to(tmp_path / "secret")
    (volume / "big").write_bytes(b"#" * (1 << 20) + b"\nA='1'")
    (volume / "noise").write_bytes(b"\xff\xfe")
    os.mkfifo(volume / "pipe")
    volumes = {"v": str(volume)}

    def read(path: str, key: str = "A", volume: str = "v", *, optional: bool = False) -> str | None:
        return value_in_file(FileKeySelector(volume_name=volume, path=path, key=key, optional=optional), volumes)

    assert read("good") == "1"
    assert read("good", "B", optional=True) is None
    assert read("none", optional=True) is None
    for path in ("up", "host", "big", "noise", "pipe", "none"):
        with pytest.raises(MissingReference, match="couldn't parse env file"):
            read(path)
    for key in ("B", "E"):
        with pytest.raises(MissingReference, match=f'environment variable key "{key}" not found in file ".*/v/good"'):
            read("good", key)
    with pytest.raises(MissingReference, match='cannot find the volume "w" referenced by FileKeyRef'):
        read("good", volume="w")


def test_a_long_file_does_not_hold_the_loop(tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have written a mebibyte, and hundreds of variables may name it: a thread reads."""
    (tmp_path / "f").write_text("A='1'")
    readers: list[threading.Thread] = []

    def parse(text: str, key: str) -> str:
        readers.append(threading.current_thread())
        return parse_env(text, key)

    monkeypatch.setattr(env_files, "parse_env", parse)
    selector = FileKeySelector(volume_name="v", path="f", key="A")
    assert run(value_aside(selector, {"v": str(tmp_path)})) == "1"
    assert readers and threading.main_thread() not in readers
    with pytest.raises(MissingReference, match="cannot find the volume"):
        run(value_aside(selector, {"v": ""}))
