"""Whole rounds on the smallest model with what keeps it from forgetting switched on."""

import gc
import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests import builders
from tests.trainer.shop import corrected, promoted
from trainer import learner, rebase, registry, rehearsal, snapshot, step_search
from trainer.models import PastExample, Round
from trainer.policy import Policy
from trainer.references import FOLDER
from trainer.replay import Old
from trainer.settings import Plan

FACTS = ("lamp", "rug", "chair", "bowl")
PEOPLE = 10


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(FeedbackSettings(data_dir=tmp_path / "data"))
    schema.upgrade(made)
    return made


def news(store: Store, price: int, facts: Sequence[str] = FACTS) -> dict[str, str]:
    """Ten people correct each price; returns who said what."""
    said = {}
    for who in range(PEOPLE):
        for name in facts:
            feedback_id = corrected(
                store,
                f"What is the {name}?",
                f"The {name} is {price} dollars.",
                who=f"p{who}",
                answer="No idea.",
            )
            said[feedback_id] = f"p{who}"
    return said


def run(store: Store, model: Path, **fields: Any) -> Round:
    given = {"epochs": 0.2, "replay_share": 0.5, "held_out_share": 0.2, "max_new_tokens": 8}
    return promoted(store, model, **{**given, **fields})


def manifest(store: Store, row: Round) -> dict[str, Any]:
    folder = store.settings.data_dir / "snapshots" / row.id
    found: dict[str, Any] = json.loads((folder / snapshot.MANIFEST).read_text())
    return found


def test_two_rounds_with_every_guard_against_forgetting(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guards = {
        "replay_sampling": "half",
        "replay_buffer": 12,
        "replay_kl_weight": 0.5,
        "rehearsal": "own",
        "rehearsal_generated": 12,
        "step_share": "search",
        "dev_share": 0.2,
        "epochs": 1.0,
    }
    asked: list[str | None] = []
    generated = rehearsal.generated

    def answered(*args: Any, **fields: Any) -> list[Old]:
        asked.append(fields["adapter"])
        # A random model hardly ever ends an answer, and what did not end is not rehearsed.
        more = builders.old("own_wet", question="Is it wet?", origin="general", judges=False)
        return [*generated(*args, **fields), more]

    monkeypatch.setattr(rehearsal, "generated", answered)
    builders.recorded(store, who="x", question="Is it far?", adapter_id="adp_older")
    said = news(store, 49)
    first = run(store, tiny_model, **guards)
    tuned = {
        name: builders.receipt_of(store, name)
        for name in said
        if builders.receipt_of(store, name).role == "dev"
    }
    assert tuned and len(tuned) == first.counts["dev"]
    assert {receipt.status for receipt in tuned.values()} == {"held_out"}
    assert {receipt.adapter_id for receipt in tuned.values()} == {first.candidate_id}
    assert not {said[name] for name in tuned} & {
        said[name] for name in said if builders.receipt_of(store, name).role != "dev"
    }
    old = {kind: n for kind, n in first.counts["examples"].items() if kind.startswith("general")}
    assert old  # its own answers, or those to questions next to the new
    [note] = first.counts["notes"]
    assert "of the way" in note and note.count(":") == 1 + len(step_search.SHARES)
    with store.session() as session:
        past = session.exec(select(PastExample)).all()
    remembered = {name for each in past if each.split == "train" for name in each.feedback_ids}
    assert tuned.keys() <= remembered
    assert not {n for each in past if each.split == "judge" for n in each.feedback_ids} & remembered

    trained: list[dict[str, Any]] = []
    train = learner.train

    def watched(*args: Any, **fields: Any) -> learner.Trained:
        done = train(*args, **fields)
        trained.append({"done": done, "parent": fields["parent"], "dev": fields["dev"]})
        return done

    monkeypatch.setattr(learner, "train", watched)
    for name in FACTS:
        builders.recorded(store, who="y", question=f"Where is the {name}?", answer="Here.")
    news(store, 59, FACTS[:2])
    second = run(store, tiny_model, **guards)
    assert second.incumbent_id == first.candidate_id
    assert asked == [None, "incumbent"]
    [told] = trained
    assert told["parent"] is not None and told["dev"]
    assert told["done"].objectives["retention"] >= 0
    assert 0 < second.counts["examples"]["past demonstration"] <= 12
    # What the live model found how likely is kept for the next round.
    assert len(list((store.settings.data_dir / FOLDER).glob("*.json"))) >= 2
    assert [path.name for path in (store.settings.data_dir / "work").iterdir()] == []


def test_a_round_that_starts_afresh_learns_everything_and_keeps_its_place_in_the_line(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    news(store, 49)
    first = run(store, tiny_model)
    parents: list[Path | None] = []
    train = learner.train

    def watched(*args: Any, **fields: Any) -> learner.Trained:
        parents.append(fields["parent"])
        return train(*args, **fields)

    monkeypatch.setattr(learner, "train", watched)
    for who in range(PEOPLE):
        about = builders.recorded(store, who=f"q{who}", question="Is it open?", answer="Hm.")
        builders.say(store, f"q{who}", completion_id=about, rating="up")
    second = run(
        store, tiny_model, rebase_after_rounds=1, rebase_epochs=0.2, rank=6, step_share="search"
    )
    assert parents == [None]
    assert second.counts[rebase.COUNT] == "1 round(s) have made the adapter what it is"
    assert "notes" not in second.counts
    with store.session() as session:
        past = [each for each in session.exec(select(PastExample)) if each.split == "train"]
        made = registry.get(session, second.candidate_id or "")
        assert made.parent_id == first.candidate_id
        folder = registry.verify(store.settings.data_dir, made)
        assert [each.id for each in registry.lineage(session, made.id)] == [
            second.candidate_id,
            first.candidate_id,
        ]
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 6
    rehearsed = {
        name
        for row in manifest(store, second)["rows"]
        for name in row["feedback"]
        if row["role"] == "demonstration"
    }
    assert {name for each in past for name in each.feedback_ids} <= rehearsed
    shown = (store.settings.data_dir / "snapshots" / second.id / "rows.jsonl").read_text()
    rows = [json.loads(line) for line in shown.splitlines()]
    assert {row["repeats"] for row in rows if row["source"] == "past"} == {1}
    assert manifest(store, second)["rebased"] == second.counts[rebase.COUNT]


def test_where_nobody_can_tune_the_usual_share_is_gone_and_told(
    store: Store, tiny_model: Path
) -> None:
    about = builders.recorded(store, question="Is it open?", answer="Hm.")
    builders.say(store, completion_id=about, rating="up")
    row = run(store, tiny_model, step_share="search")
    [note] = row.counts["notes"]
    assert f"{Plan().step_share:g} of the way" in note


def test_the_live_model_is_loaded_once_for_all_that_is_asked_before_training(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has slipped and what is next to the new are asked of one model, gone before it trains."""
    loaded: list[weakref.ref[Policy]] = []
    load, train = Policy.load, learner.train

    def counted(*args: Any, **options: Any) -> Policy:
        made = load(*args, **options)
        loaded.append(weakref.ref(made))
        return made

    def watched(*args: Any, **options: Any) -> learner.Trained:
        gc.collect()
        assert [each() for each in loaded] == [None]
        return train(*args, **options)

    news(store, 49)
    run(store, tiny_model, epochs=0.1)
    news(store, 59, ("desk", "vase", "sofa", "bed"))
    monkeypatch.setattr(Policy, "load", counted)
    monkeypatch.setattr(learner, "train", watched)
    run(store, tiny_model, replay_sampling="half", neighbour_share=0.5)
    assert len(loaded) == 2, "the other one judges"
