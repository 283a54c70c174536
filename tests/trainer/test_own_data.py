"""What models are tried on is read without taking anything."""

import pytest

from feedback import harvest, intake
from feedback.errors import Invalid
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders
from tests.builders import receipt_of, recorded, say, tell
from trainer import own_data
from trainer.models import Retirement
from trainer.settings import Plan

PLAN = Plan(base_model="somewhere")


def _accepted(
    store: Store, settings: FeedbackSettings, who: str, correction: str, **asked: str
) -> str:
    said = say(store, who, completion_id=recorded(store, who=who, **asked), correction=correction)
    builders.decide(store, said, settings=settings)
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


def test_what_the_live_line_has_learned_counts_unless_it_was_replaced(store: Store) -> None:
    first = builders.published(store)
    second = builders.published(store, parent=first.id)
    rolled_back = builders.published(store, parent=second.id)
    replaced = builders.learned(store, first, "Replaced.")
    kept = builders.learned(store, second, "Kept.")
    judging = builders.learned(store, second, "Judging.", split="judge")
    builders.learned(store, rolled_back, "Rolled back.")
    assert second.round_id and rolled_back.round_id
    with store.session(write=True) as session:
        session.add(Retirement(past_id=replaced, round_id=second.round_id, new_target="Kept."))
        # What a round retired that is rolled back holds again.
        session.add(
            Retirement(past_id=kept, round_id=rolled_back.round_id, new_target="Rolled back.")
        )
        session.commit()
    builders.live(store, second)
    data = own_data.read(store, store.settings, PLAN, most=100)
    assert {each.target for each in data.known} == {"Kept.", "Judging."}
    assert {old.id for old in data.past} == {kept, judging}


def test_personal_data_is_left_out_as_a_round_leaves_it_out(store: Store) -> None:
    # Redaction was off when these came, so that they were kept as they were said.
    settings = store.settings.model_copy(update={"redaction": "off"})
    for number, (question, correction) in enumerate(
        [("Am I ana@mail.example?", "You are."), ("Where do I write?", "To ana@mail.example.")]
    ):
        who = f"p{number}"
        about = builders.exchange(question=question, who=who)
        with store.session(write=True) as session:
            intake.apply(session, [about], settings)
            session.commit()
        told = builders.told(who, completion_id=about.id, correction=correction)
        [said] = tell(store, told, settings=settings)
        builders.decide(store, said, settings=settings)
    live = builders.live(store, builders.published(store))
    builders.learned(store, live, "Write to ben@mail.example.")
    data = own_data.read(store, store.settings, PLAN, most=100)
    [known] = data.known
    assert (known.messages[-1]["content"], known.target) == ("Am I <EMAIL>?", "You are.")
    assert [word.correction for word in data.words] == ["You are."] and data.past == ()
    unredacted = own_data.read(store, settings, PLAN, most=100)
    assert len(unredacted.known) == 3


def test_so_many_at_most_and_the_seed_decides_which(store: Store) -> None:
    for number in range(8):
        correction = f"Lamp {number} costs {number} dollars."
        question = f"What does lamp {number} cost?"
        _accepted(store, store.settings, f"p{number}", correction, question=question)

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
