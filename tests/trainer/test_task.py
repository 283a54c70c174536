"""A training as a folder: read as it was written, and refused with a reason where it cannot be."""

import json
from pathlib import Path

import pytest

from feedback.errors import Invalid
from tests.trainer.rounds import MIXED, plan
from trainer import __main__ as trainer_main
from trainer import task


def test_a_task_is_read_as_it_was_written_and_only_its_owner_may(tmp_path: Path) -> None:
    work = task.Task(
        plan(processes=2, layer_decay=0.9),
        tmp_path / "base",
        tuple(MIXED),
        tmp_path / "parent",
        tmp_path / "out",
        dev=tuple(MIXED[:1]),
    )
    task.write(tmp_path / "task", work)
    assert task.read(tmp_path / "task") == work
    assert (tmp_path / "task").stat().st_mode & 0o077 == 0


def test_paths_are_relative_to_the_task_and_the_plan_names_the_base(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "task.json").write_text(json.dumps({"plan": {"base_model": str(tiny_model)}}))
    row = {"kind": "demonstration", "messages": [{"role": "user", "content": "Why\u2028?"}]}
    (tmp_path / "examples.jsonl").write_text(
        json.dumps({**row, "target": "So."}, ensure_ascii=False) + "\n\n", encoding="utf-8"
    )
    found = task.read(tmp_path)
    assert found.base_folder == tiny_model
    assert found.out == tmp_path / "adapter"
    assert found.parent is None
    assert [each.messages[0]["content"] for each in found.examples] == ["Why\u2028?"]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "task.json"),
        ({"task.json": "{"}, "property name"),
        ({"task.json": '{"plan": {"rnak": 3}}'}, "rnak"),
        ({"task.json": "{}"}, "examples.jsonl"),
        ({"task.json": "{}", "examples.jsonl": '{"kind": "verdict"}\n'}, "messages"),
    ],
)
def test_says_why_a_folder_is_no_task(
    tmp_path: Path, files: dict[str, str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(Invalid, match=why):
        task.read(tmp_path)
    assert trainer_main.main(["train", str(tmp_path)]) == 1
    assert why in capsys.readouterr().err
