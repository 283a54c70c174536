"""Likelihoods that were computed before: kept by model and tokens, bounded, and never trusted torn."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from feedback.forget import Traces
from trainer import base_model, batches, forget, references
from trainer.distributed import Group
from trainer.examples import Example, Message
from trainer.learner import train
from trainer.objectives import objective_weights
from trainer.reference_pass import refer
from trainer.references import References
from trainer.rows import Row, build
from trainer.settings import Plan


class Asked:
    """Gives every number its own value and remembers which were asked for."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, numbers: Sequence[int]) -> list[float]:
        self.numbers += numbers
        return [float(number) for number in numbers]


def test_only_what_is_not_known_is_computed_and_each_once(tmp_path: Path) -> None:
    ask = Asked()
    assert References(tmp_path, model="m").values(["a", "b", "a"], ask) == [2.0, 1.0, 2.0]
    assert ask.numbers == [2, 1]
    again = References(tmp_path, model="m")
    assert again.values(["b", "c", "a"], ask) == [1.0, 1.0, 2.0]
    assert ask.numbers == [2, 1, 1]
    assert References(tmp_path, model="other").values(["b"], ask) == [0.0]


def test_the_least_recently_used_values_go_first(tmp_path: Path) -> None:
    known = References(tmp_path, model="m", most=3)
    for keys in (["a", "b", "c"], ["a"], ["d"]):
        known.values(keys, Asked())
    [file] = tmp_path.glob("*.json")
    assert len(json.loads(file.read_text())) == 3
    ask = Asked()
    References(tmp_path, model="m", most=3).values(["c", "a", "d"], ask)
    assert ask.numbers == []
    References(tmp_path, model="m", most=3).values(["b"], ask)
    assert ask.numbers == [0]


def test_old_files_go_and_none_is_left_half_written(tmp_path: Path) -> None:
    for number in range(references.KEPT_FILES + 3):
        References(tmp_path, model=f"m{number}").values(["a"], Asked())
        for path in tmp_path.glob("*.json"):
            os.utime(path, (number, path.stat().st_mtime - 10))
    assert len(list(tmp_path.glob("*.json"))) == references.KEPT_FILES
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    "content",
    [b'{"a": 1.0', b"", b"[1.0]", b'{"a": "1.0"}', b'{"a": NaN}', b'{"a": null}', b"\xff\xfe"],
)
def test_a_torn_or_strange_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    References(tmp_path, model="m").values(["a"], Asked())
    [file] = tmp_path.glob("*.json")
    file.write_bytes(content)
    ask = Asked()
    assert References(tmp_path, model="m").values(["a"], ask) == [0.0]
    assert ask.numbers == [0]


def test_what_is_not_a_number_is_told_and_not_kept(tmp_path: Path) -> None:
    def broken(numbers: Sequence[int]) -> list[float]:
        return [float("nan") for _ in numbers]

    [value] = References(tmp_path, model="m").values(["a"], broken)
    assert math.isnan(value)
    assert References(tmp_path, model="m").values(["a"], Asked()) == [0.0]


def test_a_disk_that_takes_nothing_costs_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    known = References(tmp_path / "taken", model="m")
    assert known.values(["a"], Asked()) == [0.0]
    assert known.values(["a"], Asked()) == [0.0]


def test_a_row_is_known_when_each_of_its_branches_is_in_the_same_precision(tmp_path: Path) -> None:
    def rows() -> list[Row]:
        return [
            Row("preference", [1, 2], [[3], [4, 5]]),
            Row("verdict", [1, 2], [[3], [6]], liked=False),
        ]

    first, _ = rows()
    first.reference = [-1.5, -0.1 - 0.2]
    References(tmp_path, model="m").keep([first], precision="cpu fp32")
    found, other = rows()
    assert References(tmp_path, model="m").recall([found, other], precision="cpu fp32") == [other]
    assert found.reference == first.reference
    assert References(tmp_path, model="m").recall(rows(), precision="cuda bf16") == rows()
    # The same ids cut otherwise are another row.
    moved = Row("preference", [1], [[2, 3], [4, 5]])
    assert References(tmp_path, model="m").recall([moved], precision="cpu fp32") == [moved]


def _ask(question: str) -> tuple[Message, ...]:
    return (Message(role="user", content=question),)


EXAMPLES = [
    Example("preference", _ask("Who?"), "Ana.", rejected="Nobody knows."),
    Example("verdict", _ask("Where?"), "Behind the market.", liked=True),
    Example("verdict", _ask("Why?"), "No.", liked=False),
]
PLAN = Plan(base_model="tiny", rank=4, epochs=2.0, minimum_steps=0, threads=1)
# What a loss asks for that tells apart what stands beyond the shorter answer.
APART = PLAN.model_copy(update={"length_control": "desensitised", "length_strength": 0.5})


def learn(model: Path, out: Path, known: References | None, plan: Plan = PLAN) -> bytes:
    """One short round with a preference and two verdicts; the adapter's bytes."""
    train(plan, model, EXAMPLES, parent=None, out=out, report=lambda _: None, references=known)
    return (out / "adapter_model.safetensors").read_bytes()


def test_training_asks_the_reference_once_and_learns_the_same(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    fill = batches.fill_references

    def counted(model: Any, rows: Sequence[Row], **fields: Any) -> None:
        asked.append(len(rows))
        fill(model, rows, **fields)

    monkeypatch.setattr(batches, "fill_references", counted)
    without = learn(tiny_model, tmp_path / "a", None)
    folder = tmp_path / "references"
    assert learn(tiny_model, tmp_path / "b", References(folder, model="base")) == without
    assert learn(tiny_model, tmp_path / "c", References(folder, model="base")) == without
    assert [count for count in asked if count] == [3, 3]


def test_what_stands_beyond_the_shorter_answer_is_computed_again(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Only whole log-probabilities are remembered; such a loss needs more, every time."""
    without = learn(tiny_model, tmp_path / "a", None, APART)
    folder = tmp_path / "references"
    learn(tiny_model, tmp_path / "b", References(folder, model="base"))
    for name in ("c", "d"):
        assert (
            learn(tiny_model, tmp_path / name, References(folder, model="base"), APART) == without
        )


def test_what_stands_beyond_the_shorter_answer_is_computed_by_every_process(
    tiny_model: Path,
) -> None:
    class Others:
        """They have computed everything, and tell whole log-probabilities only."""

        def own(self, _rows: Sequence[Row]) -> list[Row]:
            return []

        def tell_references(self, rows: Sequence[Row], _device: object) -> None:
            for row in rows:
                row.reference = [0.0] * len(row.branches)

    base = base_model.load(tiny_model, dtype=torch.float32)
    encoded, _ = build(
        EXAMPLES, base.encoder, context_tokens=128, objective_weights=objective_weights(APART)
    )
    refer(
        base.model,
        encoded,
        [],
        APART,
        lambda: None,
        exact=True,
        group=cast(Group, Others()),
        known=None,
    )
    assert all(len(row.reference_beyond) == len(row.branches) for row in encoded)


def test_forgetting_somebody_drops_them(tmp_path: Path) -> None:
    References(tmp_path / references.FOLDER, model="m").values(["a"], Asked())
    nobody = Traces(
        person_ids=(),
        exchanges=frozenset(),
        feedback=frozenset(),
        reviews=0,
        adapters=frozenset(),
        texts=frozenset(),
    )
    forget.erase_files(tmp_path, nobody)
    assert not (tmp_path / references.FOLDER).exists()
