"""`heed models compare`: a table and a recommendation, whatever the models are like."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedback.store import Store
from tests.builders import decide, recorded, say
from tests.serving.command_line import document, done, fault, store_at
from trainer import trial
from trainer.comparison import Fit, Marks, Measured


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that are right on the share that their name says, or broken."""

    def measure(model: str, data: Any, chosen: Any, report: Any) -> Measured:
        report("trying", 0.5)
        if model == "broken":
            return Measured(model, error="It has no chat template.")
        count = len(data.known)
        right = tuple(n < int(model) * count / 100 for n in range(count))
        share = sum(right) / count
        return Measured(
            model,
            parameters=1_000_000,
            fit=Fit(1.3, 0.0, 1.0, 1024, 1.0, "folded"),
            baseline=share,
            trial=share if chosen.folds else None,
            forgotten=0.0 if chosen.folds else None,
            marks=Marks(right, (1,) * len(trial.protected(data, chosen)) if chosen.folds else ()),
        )

    monkeypatch.setattr(trial, "measure", measure)


def _corrected(store: Store, people: int) -> None:
    for number in range(people):
        who = f"p{number}"
        about = recorded(store, who=who, question=f"What does lamp {number} cost?")
        said = say(store, who, completion_id=about, correction=f"It costs {number} dollars.")
        decide(store, said)


@pytest.mark.usefixtures("tried")
def test_the_better_model_is_recommended(store: Store) -> None:
    _corrected(store, 40)
    told = document("models", "compare", "90", "30", "broken")
    assert (told["recommended"], told["sure"], told["items"], told["folds"]) == ("90", True, 40, 5)
    assert [each["model"] for each in told["models"]] == ["90", "30"]
    assert told["models"][1]["behind"] == pytest.approx(0.6)
    assert told["models"][1]["behind_95"][0] > 0.3
    assert told["unusable"] == [{"model": "broken", "error": "It has no chat template."}]
    shown = done("models", "compare", "90", "30", "broken")
    assert "Recommended: 90\n" in shown
    assert "in the user's" in shown
    assert "broken cannot be used: It has no chat template." in shown
    assert 'base_model = "90"' in shown


@pytest.mark.usefixtures("tried")
def test_without_a_trial_the_baseline_decides(store: Store) -> None:
    _corrected(store, 12)
    told = document("models", "compare", "60", "50", "--no-trial")
    assert (told["folds"], told["sure"]) == (0, False)
    assert "cannot tell" in told["reason"]


@pytest.mark.usefixtures("tried")
def test_what_is_missing_is_said(store: Store) -> None:
    assert "at least two different models" in fault("models", "compare", "90", "90")
    assert "Nobody has settled an answer yet" in fault("models", "compare", "90", "30")
    _corrected(store, 1)
    assert "at least two people" in fault("models", "compare", "90", "30")
