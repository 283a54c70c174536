"""What the demo tells people to type, and that no round comes by itself meanwhile."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from serving.demo import show
from serving.demo.server import weekly
from trainer.cron import next_times


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


@pytest.mark.parametrize("hour", range(0, 7 * 24, 5))
def test_no_round_is_due_while_the_demo_plays_whenever_it_is_started(hour: int) -> None:
    now = datetime(2026, 11, 23, 2, 59, tzinfo=UTC) + timedelta(hours=hour)
    (due,) = next_times(weekly(now), "UTC", after_seconds=now.timestamp(), count=1)
    assert timedelta(days=2) < datetime.fromtimestamp(due, UTC) - now < timedelta(days=4)
