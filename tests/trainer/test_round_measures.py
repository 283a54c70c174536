"""What a round measures beside its verdict, from people's feedback to what `heed round show` tells."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedback.store import Store
from serving import round_measures
from tests import builders
from tests.serving.command_line import done, store_at
from tests.trainer.shop import FACTS, priced, promoted, say
from trainer import measures
from trainer.models import Round

LABELS = ("refund", "price", "delivery")
QUESTIONS = 24


@pytest.fixture(scope="module")
def played(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Iterator[tuple[Store, Round, dict[str, str]]]:
    """A round of corrections and thumbs, guarded by a suite of intents and one of facts."""
    with pytest.MonkeyPatch.context() as patch:
        store = store_at(tmp_path_factory.mktemp("measured"), patch)
        suites = store.settings.data_dir / "suites"
        suites.mkdir(parents=True)
        lines = [
            {"suite": suite, "prompt": f"{suite} {n}?", "expected": expected, "check": check}
            for n in range(QUESTIONS)
            for suite, expected, check in (
                ("intents", LABELS[n % 3], "label"),
                ("facts", f"The answer is {n}.", "exact"),
            )
        ]
        text = "\n".join(json.dumps({"id": str(n), **line}) for n, line in enumerate(lines))
        (suites / "protected.jsonl").write_text(text)
        for name in FACTS:
            priced(store, name)
        said = {}
        for n in range(60):
            rating = "up" if n % 2 else "down"
            said[say(store, f"fan{n}", f"Is it {n}?", f"It is {n}.", rating=rating)] = rating
        row = promoted(store, tiny_model, replay_share=0)
        yield store, row, said
        store.close()


@pytest.fixture
def shown(played: tuple[Store, Round, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a person reads of the round."""
    store, row, _ = played
    monkeypatch.setenv("HEED_FEEDBACK__DATA_DIR", str(store.settings.data_dir))
    return " ".join(done("round", "show", row.id).split())


def told(row: Round) -> dict[str, Any]:
    assert row.report is not None
    found: dict[str, Any] = row.report["measures"]
    return found


def test_thumbs_of_people_held_out_are_not_learned_and_tell_the_verdict_margin(
    played: tuple[Store, Round, dict[str, str]], shown: str
) -> None:
    store, row, said = played
    receipts = {name: builders.receipt_of(store, name) for name in said}
    held = {name: each for name, each in receipts.items() if each.status == "held_out"}
    assert len(held) == row.counts["measured"] == int(0.3 * len(said))
    assert {each.role for each in held.values()} == {"verdicts"}
    assert {receipts[name].status for name in said.keys() - held.keys()} == {"used"}
    liked = sum(said[name] == "up" for name in held)
    found = told(row)["verdicts"]
    assert (found["liked"], found["disliked"]) == (liked, len(held) - liked)
    assert found["margin"] != 0
    assert f"{len(held)} to measure" in shown
    assert "verdict (KTO) margin" in shown and f"{found['margin']:.3g}" in shown


def test_a_suite_of_labels_has_their_precision_recall_and_f1(
    played: tuple[Store, Round, dict[str, str]], shown: str
) -> None:
    _, row, _ = played
    suites = told(row)["suites"]
    assert "labels" not in suites["facts"]["candidate"]
    for model in ("incumbent", "candidate"):
        labels = suites["intents"][model]["labels"]
        assert labels["items"] == QUESTIONS
        due = {name: each["items"] for name, each in labels["per_label"].items() if each["items"]}
        assert due == dict.fromkeys(LABELS, QUESTIONS / 3)
        assert labels["per_label"][measures.OTHER]["precision"] == 0
    assert "Labels, before → after" in shown
    for label in (*LABELS, round_measures.ALL_LABELS):
        assert label in shown


def test_slices_tell_how_both_models_do_and_of_how_many(
    played: tuple[Store, Round, dict[str, str]], shown: str
) -> None:
    _, row, _ = played
    slices = {each["name"]: each for each in told(row)["slices"]}
    for suite in ("intents", "facts"):
        found = slices[f"tag suite={suite}"]
        assert found["items"] == QUESTIONS
        both = told(row)["suites"][suite]
        assert found["before"] == both["incumbent"]["accuracy"]
        assert found["value"] == both["candidate"]["accuracy"]
    assert "tag suite=intents" in shown


def test_every_measure_of_likelihood_is_shown(
    played: tuple[Store, Round, dict[str, str]], shown: str
) -> None:
    _, row, _ = played
    held_out = told(row)["held_out"]["candidate"]
    rows = round_measures.of_likelihood(told(row))
    assert len(rows) == len(held_out.keys() - {"items"}) + 1
    for each in rows:
        assert each.after in shown
    for name in ("nll", "reward_margin"):
        assert f"{held_out[name]:.3g}" in shown
