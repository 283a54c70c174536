"""Documents about a town that does not exist, read by the starter model from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import almanac

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 400


def heed(data_dir: Path, *arguments: str) -> Any:
    """Run `heed` with --json in a process of its own, on a data folder; return what it printed."""
    code = "from serving.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments, "--json"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HEED_FEEDBACK__DATA_DIR": str(data_dir),
            "HEED_TRAINER__DOCUMENT_EPOCHS": "1",
            "HEED_TRAINER__MINIMUM_STEPS": "20",
            "HEED_TRAINER__THREADS": "1",
            # So few steps leave the model unsettled, and which documents are held out is drawn anew
            # each time: half of the way is gone, and judged by wide margins.
            "HEED_TRAINER__STEP_SHARE": "0.5",
            "HEED_TRAINER__MARGIN_POINTS": "5",
            "HEED_TRAINER__SYCOPHANCY_MARGIN_POINTS": "15",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_reading_makes_documents_likelier_and_keeps_what_is_protected(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name, text in almanac.town(seed=0, pages=24).items():
        (shelf / name).write_text(text)
    (shelf / "torn.pdf").write_bytes(b"%PDF-1.4 torn")

    row = heed(tmp_path / "data", "pretrain", str(shelf))
    assert row["state"] == "promoted", row["message"]
    read = row["counts"]["documents"]
    assert (read["files"], read["unread_count"], read["held_out_by"]) == (24, 1, "document")
    rules = {(rule["suite"], rule["name"]): rule for rule in row["report"]["rules"]}
    assert rules["documents", "perplexity"]["lower"] > 0.5
    for suite in ("core", "conduct", "past"):
        assert rules[suite, "non-inferiority"]["outcome"] == "holds"

    assert [each["id"] for each in heed(tmp_path / "data", "round", "list")["data"]] == [row["id"]]
    adapters = heed(tmp_path / "data", "adapters", "list")
    assert adapters["deployment"]["live"] == row["adapter"]
    assert len(adapters["data"]) == 4
    assert heed(tmp_path / "data", "adapters", "rollback")["live"] == "base"
