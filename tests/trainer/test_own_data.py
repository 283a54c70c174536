"""What models are tried on is read without taking anything."""

import pytest

from feedback import harvest, review
from feedback.errors import Invalid
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests.builders import receipt_of, recorded, say
from trainer import own_data
from trainer.models import PastExample, Retirement, Round
from trainer.settings import Plan

PLAN = Plan(base_model="somewhere")


def _accepted(store: Store, settings: FeedbackSettings, who: str, correction: str) -> str:
    said = say(store, who, completion_id=recorded(store, who=who), correction=correction)
    with store.session(write=True) as session:
        review.decide(session, settings, feedback_id=said, decision="accept", reviewer="eva")
        session.commit()
    return said


def test_nothing_is_claimed_and_no_receipt_changes(store: Store) -> None:
    settings = store.settings
    said = _accepted(store, settings, "ana", "It costs 59 dollars.")
    before = receipt_of(store, said)
    data = own_data.read(store, settings, PLAN, most=100)
    assert [each.target for each in data.known] == ["It costs 59 dollars."]
    assert [word.feedback_id for word in data.words] == [said]
    assert receipt_of(store, said) == before
    with store.session() as session:
        assert harvest.available(session) == 1


def test_what_rounds_have_learned_counts_unless_it_was_replaced(store: Store) -> None:
    with store.session(write=True) as session:
        session.add(Round(id="rnd_1", trigger="test", plan={}, created_at=1.0))
        session.flush()
        for name in ("old", "new"):
            session.add(
                PastExample(
                    id=f"past_{name}",
                    round_id="rnd_1",
                    split="train",
                    messages=[{"role": "user", "content": f"{name}?"}],
                    target=name,
                    feedback_ids=[],
                    cluster="per_1",
                    created_at=1.0,
                )
            )
        session.flush()
        session.add(Retirement(past_id="past_old", round_id="rnd_1", new_target="new"))
        session.commit()
    data = own_data.read(store, store.settings, PLAN, most=100)
    assert [each.target for each in data.known] == ["new"]
    assert [old.id for old in data.past] == ["past_new"]


def test_so_many_at_most_and_the_seed_decides_which(store: Store) -> None:
    for number in range(8):
        _accepted(store, store.settings, f"p{number}", f"It costs {number} dollars.")

    def chosen(seed: int) -> set[str]:
        data = own_data.read(store, store.settings, PLAN, most=4, seed=seed)
        assert len(data.known) == 4
        return {each.target for each in data.known}

    assert chosen(0) == chosen(0)
    assert len({frozenset(chosen(seed)) for seed in range(4)}) > 1


def test_with_nothing_settled_it_says_what_to_do(store: Store) -> None:
    say(store, rating="down")
    with pytest.raises(Invalid, match="heed feedback import"):
        own_data.read(store, store.settings, PLAN, most=100)
