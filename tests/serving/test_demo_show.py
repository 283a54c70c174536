"""What the demo tells people to type."""

import sys
from pathlib import Path

import pytest

from serving.demo import show


def test_the_command_is_named_as_it_can_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert show.command() == "heed"  # not installed: nothing better is known

    (programs / "heed").write_text("#!/bin/sh\n")
    (programs / "heed").chmod(0o755)
    assert show.command() == ".venv/bin/heed"
    monkeypatch.chdir(tmp_path.parent)
    assert show.command() == f"{tmp_path.name}/.venv/bin/heed"

    monkeypatch.setenv("PATH", str(programs))
    assert show.command() == "heed"
