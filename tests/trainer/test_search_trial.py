"""What a search works with: everything that waits, claimed by nobody, and a part nobody trains on."""

from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from feedback import harvest
from feedback.errors import Conflict, Invalid
from feedback.models import Receipt
from feedback.store import Store
from tests import builders
from tests.builders import plan
from tests.trainer.shop import FACTS, priced
from trainer import material
from trainer.learner import Cancelled
from trainer.search_trial import FEWEST_DEV, Bench, Preview, preview
from trainer.settings import Plan

COLOURS = ("red", "blue", "green", "black")


def fill(store: Store) -> None:
    for colour in COLOURS:
        for name in FACTS:
            priced(store, f"{colour} {name}")
    builders.say(store, "fan", rating="up")


def marks(session: Session) -> list[tuple[Any, ...]]:
    return sorted(
        (row.feedback_id, row.status, row.round_id, row.accepted_by, row.updated_at)
        for row in session.exec(select(Receipt))
    )


def test_nothing_is_claimed_and_nobody_judges_what_chose_the_plan(store: Store) -> None:
    fill(store)
    with store.session() as session:
        before = marks(session)
    asked = plan(held_out_share=0.3)
    seen = preview(store, store.settings, asked)
    with store.session() as session:
        assert marks(session) == before
    assert seen.words == len(before) == len(COLOURS) * len(FACTS) + 1
    judges = seen.words - len(seen.gathered.words)
    assert judges >= 10
    dev = {item.id for item in seen.dev}
    assert len(dev) >= FEWEST_DEV
    # What would judge the round is neither trained on nor compared by.
    again = preview(store, store.settings, asked)
    assert again.dev == seen.dev
    left = {word.feedback_id for word in seen.gathered.words}
    assert dev < left
    row = builders.opened_round(store)
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, row.id)
        gathered = material.gather(
            session, asked, store.settings.data_dir, round_id=row.id, incumbent_id=None
        )
    judges_it = {word.feedback_id for word in material.sort(gathered, asked).held_out}
    assert len(judges_it) == judges and judges_it.isdisjoint(left)


def test_too_little_and_an_open_round_are_refused(store: Store) -> None:
    with pytest.raises(Conflict, match=r"no accepted feedback.* Collect some first"):
        preview(store, store.settings, plan())
    builders.say(store, "ana", correction="Until six.")
    with pytest.raises(Conflict, match=r"1 piece\(s\) wait for a reviewer"):
        preview(store, store.settings, plan())
    priced(store, "lamp")
    with pytest.raises(Invalid, match="luck"):
        preview(store, store.settings, plan())
    builders.opened_round(store)
    with pytest.raises(Conflict, match="is open"):
        preview(store, store.settings, plan())


def tiny(model: Path, **changes: Any) -> Plan:
    return Plan(
        **{
            "base_model": str(model),
            "rank": 4,
            "epochs": 1.0,
            "minimum_steps": 4,
            "replay_minimum": 0,
            "max_new_tokens": 4,
            "threads": 1,
            **changes,
        }
    )


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_trial_trains_on_the_rest_and_scores_every_share_of_the_way(
    store: Store, tiny_model: Path
) -> None:
    fill(store)
    asked = tiny(tiny_model, length_control="penalty", augment_prompts=1)
    seen = preview(store, store.settings, asked)
    trains = material.sort(
        seen.gathered, asked.model_copy(update={"held_out_share": 0.25, "seed": 1})
    )
    dev = {item.id for item in seen.dev}
    assert all(dev.isdisjoint(each.feedback_ids) for each in trains.training)
    bench = Bench(seen, asked, store.settings)

    def run(seen_by: Preview = seen, **changes: Any) -> list[Any]:
        given: dict[str, Any] = {
            "learning_rate": 2e-2,
            "replay_share": 0.5,
            "step_shares": (0.5, 1.0),
            "report": lambda _: None,
            "should_stop": lambda: False,
        }
        return bench.run(**{**given, **changes})

    half, whole = run()
    assert (half.step_share, whole.step_share) == (0.5, 1.0)
    assert len(whole.learned) == len(seen.dev) and len(whole.forgotten) == len(seen.known)
    assert sum(whole.learned) > sum(half.learned) > 0
    faint = run(learning_rate=1e-6)[1]
    assert sum(faint.learned) < sum(whole.learned) / 100
    with pytest.raises(Cancelled):
        run(should_stop=lambda: True)
    bench.close()
    assert not (store.settings.data_dir / "work" / "search").exists()
