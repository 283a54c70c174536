"""`heed feedback import` and `export`, from the command line."""

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedback.people import people_key
from feedback.store import Store
from tests.builders import recorded, say
from tests.feedback.imports import exchanges, lines, stored
from tests.serving.command_line import document, done, fault, heed, store_at

GOOD = {"prompt": "How much?", "completion": "59 dollars.", "label": True}
BAD = {"prompt": "How much?"}
MARK = "zanzibar-4711"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(lines(GOOD, BAD, {**GOOD, "label": False}))
    return path


def take(path: Path | str, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = document("feedback", "import", str(path), "--format", "trl", *more)
    return found


@pytest.mark.usefixtures("store")
def test_an_import_counts_what_it_read_took_knew_and_skipped(file: Path) -> None:
    first = take(file)
    counts = {key: first[key] for key in ("read", "imported", "duplicates", "skipped")}
    assert counts == {"read": 3, "imported": 2, "duplicates": 0, "skipped": 1}
    assert (first["exchanges"], first["feedback"]) == (1, 2)
    [(reason, number)] = first["reasons"].items()
    assert "a prompt alone" in reason
    assert number == 1
    again = take(file)
    assert (again["imported"], again["duplicates"], again["skipped"]) == (0, 2, 1)


@pytest.mark.usefixtures("store")
def test_an_import_tells_people_what_it_skipped_and_why(file: Path, tmp_path: Path) -> None:
    told = heed("feedback", "import", str(file), "--format", "trl", "--skipped", "out.jsonl")
    assert told.exit_code == 0
    assert "3 rows read: 2 imported (1 exchanges, 2 pieces of feedback)" in told.stdout
    assert "1  a prompt alone" in told.stdout
    assert f"{file}, 2: a prompt alone" in told.stderr
    [line] = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (line["source"], line["line"]) == (str(file), 2)
    assert "prompt alone" in line["reason"]


@pytest.mark.usefixtures("store")
def test_many_skipped_rows_are_told_a_few_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(lines(GOOD, *[BAD] * 50))
    told = heed("feedback", "import", str(path), "--format", "trl")
    assert told.stderr.count("a prompt alone") == 20
    assert "… and more; --skipped FILE" in told.stderr


@pytest.mark.usefixtures("store")
def test_an_import_of_which_nothing_could_be_used_fails(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(lines(BAD))
    told = heed("feedback", "import", str(path), "--format", "trl", "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["skipped"] == 1


@pytest.mark.usefixtures("store")
def test_files_folders_gzip_and_stdin(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines({**GOOD, "prompt": "a"}).encode()))
    (folder / "b.jsonl").write_text(lines({**GOOD, "prompt": "b"}))
    found = document("feedback", "import", str(folder), str(file), "--format", "trl")
    assert found["imported"] == 4
    assert _from_stdin(lines({**GOOD, "prompt": "c"}).encode())["imported"] == 1


def _from_stdin(text: bytes) -> dict[str, Any]:
    from typer.testing import CliRunner

    from serving.cli import app

    arguments = ["feedback", "import", "-", "--format", "trl", "--json"]
    result = CliRunner().invoke(app, arguments, input=text)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty: there is nothing to import"),
        (b"\n \n", "is empty"),
        (b'[{"prompt": "a", "completion": "b"}, {"prompt', "ends within item 2"),
        (b'[{"prompt": "a", "completion": "b"}, {bad}]', "Item 2 of "),
        (b'{"prompt": "a", "completion": "b"', "it ends within line 1."),
        (b'a,b\n{"prompt": "a"', "its first lines are no JSON, and it ends within line 2."),
        (b"a,b\n1,2", "its first lines are no JSON."),
        (b"a,b\n1,2\n", "does not look like trl"),
        (lines({"forId": "x", "value": 1}).encode(), "looks like chainlit"),
        (b"PAR1....", "is a Parquet file"),
        ("[]".encode("utf-16"), "is written in UTF-16"),
    ],
)
@pytest.mark.usefixtures("store")
def test_a_file_that_cannot_be_imported_says_why_in_one_line(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    told = heed("feedback", "import", str(path), "--format", "trl")
    assert told.exit_code == 1
    [line] = [line for line in told.stderr.splitlines() if line.startswith("Error: ")]
    assert why in line
    assert "Traceback" not in told.output
    in_json = heed("feedback", "import", str(path), "--format", "trl", "--json")
    assert why in json.loads(in_json.stdout)["error"]["message"]


@pytest.mark.usefixtures("store")
def test_what_was_taken_before_a_fault_is_said(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([GOOD, GOOD])[:-5])
    told = heed("feedback", "import", str(path), "--format", "trl")
    assert "1 rows read: 1 imported" in told.stderr
    path.write_text(json.dumps([GOOD, GOOD]))
    assert take(path)["duplicates"] == 2


@pytest.mark.usefixtures("store")
def test_a_fault_has_what_was_taken_before_it_in_its_json_as_well(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([GOOD, BAD, GOOD])[:-1] + ", {bad}]")
    told = heed("feedback", "import", str(path), "--format", "trl", "--json")
    assert told.exit_code == 1
    found = json.loads(told.stdout)
    assert "Item 4" in found["error"]["message"]
    counts = {key: found[key] for key in ("read", "imported", "duplicates", "skipped")}
    assert counts == {"read": 3, "imported": 1, "duplicates": 1, "skipped": 1}
    assert (found["exchanges"], found["feedback"]) == (1, 1)
    assert "a prompt alone" in next(iter(found["reasons"]))


@pytest.mark.usefixtures("store")
def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "none.jsonl" in fault("feedback", "import", str(tmp_path / "none.jsonl"))


def test_who_speaks_and_how_far_a_scale_goes_can_be_said(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    score = {
        "id": "s",
        "name": "rating",
        "value": 4,
        "traceId": recorded(store),
        "dataType": "NUMERIC",
    }
    path.write_text(lines(score))
    arguments = ("feedback", "import", str(path), "--format", "langfuse")
    assert "--scale 5" in heed(*arguments).stdout
    done(*arguments, "--scale", "5", "--user", "ana")
    [(feedback, _, _)] = stored(store)
    assert feedback.rating == 0.75
    assert feedback.person_id == people_key(store.settings.data_dir).person_id("user:ana")
    assert "no numbers whose scale" in fault(
        "feedback", "import", str(path), "--format", "sharegpt", "--scale", "5"
    )


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("shape", "row"),
    [
        ("trl", {"prompt": f"{MARK} q", "completion": f"{MARK} a"}),
        (
            "openai",
            {
                "messages": [
                    {"role": "user", "content": f"{MARK} q"},
                    {"role": "assistant", "content": MARK},
                ]
            },
        ),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": role, "value": f"{MARK} {number}"}
                    for number, role in enumerate(("human", "gpt") * 2)
                ]
            },
        ),
    ],
)
def test_forgetting_somebody_takes_what_they_demonstrated_out_of_the_database(
    store: Store, tmp_path: Path, shape: str, row: dict[str, Any], *, named: bool
) -> None:
    path = tmp_path / "hers.jsonl"
    path.write_text(lines(row))
    done("feedback", "import", str(path), "--format", shape, "--user", "ana")
    path.write_text(lines({**GOOD, "label": True}, {**GOOD, "prompt": "And the desk?"}))
    done("feedback", "import", str(path), "--format", "trl", "--user", "ben")
    assert MARK in everywhere(store)
    ana = people_key(store.settings.data_dir).person_id("user:ana")
    done("forget", "ana" if named else ana)
    assert MARK not in everywhere(store)
    assert len(stored(store)) == 2 + (2 if shape == "sharegpt" else 1)
    assert [each.state for each in exchanges(store)].count("complete") == 2


def everywhere(store: Store) -> str:
    """The bytes of the data folder."""
    folder = store.settings.data_dir
    found = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return b"".join(found).decode("latin-1")


def test_heeds_own_format_goes_from_one_data_folder_into_another(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(store, "ana")
    say(store, "ben", correction="59")
    done("feedback", "export", "first.jsonl")
    other = store_at(tmp_path / "other", monkeypatch)
    told = done("feedback", "import", "first.jsonl")
    assert "6 rows read: 6 imported (2 exchanges, 2 pieces of feedback)" in told
    assert "hashed under another key (key1)" in told
    done("feedback", "export", "second.jsonl")
    first, second = (tmp_path / f"{name}.jsonl" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    other.close()


def test_exports_for_training_and_for_spreadsheets(store: Store, tmp_path: Path) -> None:
    say(store, "ana")
    say(store, "ben", correction="=59")
    trl = document("feedback", "export", "a.jsonl", "--format", "trl")
    assert (trl["rows"], trl["unreviewed"]) == (1, 1)
    assert "1 pieces of feedback wait for a reviewer and are left out" in done(
        "feedback", "export", "a.jsonl", "--format", "openai"
    )
    both = document("feedback", "export", "a.jsonl", "--format", "trl", "--include-unreviewed")
    assert both["rows"] == 3
    sheet = document("feedback", "export", "a.csv", "--format", "csv")
    assert sheet["rows"] == 2
    assert b'"\'=59"' in (tmp_path / "a.csv").read_bytes()
    assert "choose unpaired-preference" in fault(
        "feedback", "export", "a.jsonl", "--format", "trl", "--type", "nothing"
    )
    assert not list(tmp_path.glob(".*.part"))


def test_an_export_that_fails_leaves_the_old_file_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(store)
    done("feedback", "export", "out.jsonl")
    before = (tmp_path / "out.jsonl").read_bytes()

    def broken(*_arguments: Any, **_options: Any) -> Iterator[str]:
        yield "half a line"
        raise OSError(28, "No space left on device", "out.jsonl")

    monkeypatch.setattr("feedback.formats.exporting.texts", broken)
    assert "No space left" in fault("feedback", "export", "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


HELD = """
import itertools, signal
from feedback import intake
from serving.cli import main

batches, apply = itertools.count(1), intake.apply

def held(*arguments):
    done = apply(*arguments)
    if next(batches) == 2:
        print("held", flush=True)
        signal.pause()
    return done

intake.apply = held
main()
"""
"""An import whose second transaction is never ended."""


def test_an_import_that_is_killed_can_be_run_again(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    rows = 5_000
    path.write_text(lines(*({**GOOD, "prompt": f"Question {number}?"} for number in range(rows))))
    arguments = ["feedback", "import", str(path), "--format", "trl"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HELD, *arguments], env=environment, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout and child.stdout.readline() == b"held\n"
        child.send_signal(signal.SIGKILL)
    taken = len(exchanges(store))
    assert 0 < taken < rows
    again = take(path)
    assert (again["duplicates"], again["imported"]) == (taken, rows - taken)
    assert len(stored(store)) == len(exchanges(store)) == rows
