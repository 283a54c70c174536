"""The options of a plan in a whole round on the smallest model: what is frozen, and that it ends."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlmodel import select

from feedback.people import people_key
from feedback.store import Store
from serving.forgetting import forget
from tests import builders
from tests.builders import plan, word
from tests.serving.command_line import store_at
from tests.trainer.shop import priced, promoted, say
from trainer import enrichment, material, snapshot
from trainer.enrichment import Extra, Surroundings
from trainer.examples import Message, build
from trainer.exposure import MOST_REPEATS
from trainer.material import Gathered
from trainer.models import PastExample, Round
from trainer.policy import Policy

# Fast enough for the smallest model to have learned to end an answer after a few steps.
SHORT: dict[str, Any] = {"epochs": 0.5, "minimum_steps": 2, "learning_rate": 4e-3}
OPTIONS: dict[str, Any] = {
    "preference_loss": "robust",
    "length_control": "desensitised",
    "off_policy_weighting": "ratio",
    "augment_prompts": 2,
    "typing_noise": 0.5,
    "augmentation_url": "http://127.0.0.1:9",
    "augmentation_model": "any",
    "pseudo_label_share": 0.5,
    "pseudo_label_confidence": 1e-9,
    "staged_introduction": 0.5,
    "staged_order": "easy-first",
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def frozen(store: Store, row: Round) -> list[dict[str, Any]]:
    lines = (store.settings.data_dir / "snapshots" / row.id / "rows.jsonl").read_text()
    return [json.loads(line) for line in lines.splitlines()]


def test_a_round_with_every_option_learns_and_says_what_it_could_not_do(
    store: Store, tiny_model: Path
) -> None:
    for name in ("lamp", "rug", "chair", "bowl"):
        priced(store, name)
    first = promoted(store, tiny_model, **SHORT)
    assert "notes" not in first.counts
    for name in ("desk", "vase", "sofa", "bed", "cup", "pan"):
        priced(store, name)
    for at in range(3):
        say(store, f"fan{at}", f"Is it {at} or more?", "It is open.", rating="up")
    builders.recorded(store, question="Did nobody vote?", answer="Nobody.", who="quiet")
    second = promoted(store, tiny_model, **SHORT, **OPTIONS)
    rows = frozen(store, second)
    made = Counter(row["made"] for row in rows)
    new = [r for r in rows if r["kind"] == "demonstration" and r["source"] == "new"]
    corrections = sum(not row["made"] for row in new)
    assert sum(row["made"] == "paraphrase" for row in new) == 2 * corrections > 0
    lost = [row for row in rows if row["source"] == "past" and not row["made"]]
    assert any(row["repeats"] > 1 for row in lost), "this model says none of it"
    assert made["neighbour"] > 0
    assert all(
        r["source"] == "general" and r["feedback_ids"] for r in rows if r["made"] == "neighbour"
    )
    assert 0 < made["typing noise"] < 3 * corrections
    [own] = [row for row in rows if row["made"] == "pseudo-label"]
    assert own["messages"][-1]["content"] == "Did nobody vote?"
    assert own["target"] != "Nobody." and own["weight"] == 0.3
    shown = sum(row["weight"] * row["repeats"] for row in new)
    assert shown == pytest.approx(MOST_REPEATS * corrections)
    votes = [row for row in rows if row["kind"] == "verdict"]
    assert votes and all(0 < row["weight"] <= 1 for row in votes)
    assert any("could not be asked" in note for note in second.counts["notes"])
    with store.session() as session:
        past = session.exec(select(PastExample).where(PastExample.round_id == second.id)).all()
    learned = [row for row in past if row.split == "train"]
    assert len(learned) == corrections

    people = people_key(store.settings.data_dir)
    person = next(row["cluster"] for row in rows if row["made"] == "paraphrase")
    for who in (person, builders.person("quiet")):
        forget(store, people, who, actor="test")
    left = [row for row in frozen(store, second) if snapshot.TOMBSTONE not in row]
    assert left and {person, builders.person("quiet")}.isdisjoint(row["cluster"] for row in left)


def test_without_options_nothing_is_loaded_and_the_material_is_the_same(store: Store) -> None:
    gathered = Gathered(
        (word(correction="It is 59."), word("fbk_2", rating=1.0, adapter_id="adp_old")),
        *((),) * 4,
    )
    off = plan(paraphrase_repeats=False)
    sorted_ = material.sort(gathered, off)

    def never() -> Policy:
        raise AssertionError("a model is loaded")

    around = Surroundings(store.settings, "adp_now", "b" * 64, never)
    with store.session() as session:
        extra = enrichment.read(session, off, gathered)
    assert extra == Extra()
    found, notes = enrichment.enriched(sorted_, gathered, extra, off, around)
    assert found is sorted_ and notes == ()
    robust = off.model_copy(update={"preference_loss": "robust"})
    noisy, _ = enrichment.enriched(sorted_, gathered, extra, robust, around)
    assert noisy == sorted_  # too little tells of noise
    usual, notes = enrichment.enriched(sorted_, gathered, extra, plan(), around)
    assert notes == () and {each.made for each in usual.training} == {"", "paraphrase"}


class Unknowing:
    """A model that knows nothing."""

    def answers(self, conversations: Sequence[object], **_options: object) -> list[str]:
        return ["I don't know."] * len(conversations)

    def fits(self, rows: Sequence[object], **_options: object) -> list[bool]:
        return [True] * len(rows)

    def lengths(self, rows: Sequence[object]) -> list[int]:
        return [4] * len(rows)


@pytest.mark.parametrize(("share", "of_past"), [(0.25, 5), (0.0, 0)])
def test_neighbours_of_the_new_take_the_place_of_general_material_those_of_the_past_do_not(
    store: Store, share: float, of_past: int
) -> None:
    """Two passes: each shows 6 new, 20 of 40 past and 30 general ones."""
    new = [
        each
        for at in range(6)
        for each in build(
            [word(f"fbk_{at}", question=f"Is the lamp {at} lit?", correction=f"The lamp {at} is.")]
        )
        if each.kind == "demonstration"
    ]
    past = [
        replace(new[0], source="past", feedback_ids=(f"fbk_past{at}",), in_turn=2, messages=turns)
        for at in range(40)
        if (turns := (Message(role="user", content=f"How is the lamp today, on day {at}?"),))
    ]
    general = [replace(each, source="general") for each in new * 5]
    sorted_ = material.Sorted((*new, *past, *general), (), (), {}, ())
    around = Surroundings(store.settings, None, "b" * 64, lambda: cast(Policy, Unknowing()))
    on = plan(neighbour_share=0.5, neighbour_past_share=share, epochs=2.0)
    gathered = Gathered((), (), (), (), ())
    found, _ = enrichment.enriched(sorted_, gathered, Extra(), on, around)
    made = [each for each in found.training if each.made == "neighbour"]
    assert sum(each.feedback_ids[0].startswith("fbk_past") for each in made) == 2 * of_past
    assert len(made) == 2 * (3 + of_past)
    assert all(each.in_turn == 2 for each in made)
    plain = [each for each in found.training if each.source == "general" and not each.made]
    assert len(plain) == len(general) - 2 * 3
    assert sum(each.source == "past" for each in found.training) == 40
