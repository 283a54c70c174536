"""Corrections of one question that say different things: what a reviewer accepted last counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.harvest import Word
from feedback.store import Store
from tests import builders
from tests.builders import person, word
from tests.serving.command_line import done, store_at
from tests.trainer.shop import FACTS, corrected, priced, promoted
from trainer import funnel
from trainer.models import PastExample
from trainer.replay import place
from trainer.superseded import superseded

ASKED = "When does it close?"
SAID = ("At six.", "At nine.", "Never.")


def test_what_a_reviewer_accepted_last_supersedes_what_says_otherwise() -> None:
    words = [
        word("fbk_six", question=ASKED, correction="At six.", decided_at=3.0),
        word("fbk_nine", question="when does it close", correction="At nine.", decided_at=1.0),
        word("fbk_agreed", question=ASKED, correction="Never.", accepted_by="quorum"),
        word("fbk_same", question=ASKED, correction="Hello! At six.", decided_at=2.0),
        word("fbk_thumb", question=ASKED, answer="At nine.", rating=1.0, decided_at=4.0),
        word("fbk_lamp", correction="59 dollars.", decided_at=1.0),
    ]
    assert superseded(words) == {"fbk_nine": "fbk_six", "fbk_agreed": "fbk_six"}
    assert superseded(words[::-1]) == superseded(words)


def test_where_no_reviewer_has_decided_nothing_is_superseded() -> None:
    words = [
        word(f"fbk_{n}", question=ASKED, correction=answer, accepted_by="quorum")
        for n, answer in enumerate(("At six.", "At nine."))
    ]
    assert superseded(words) == {}


def test_the_same_words_asked_elsewhere_are_another_question() -> None:
    def told(name: str, *turns: tuple[str, str], correction: str, at: float) -> Word:
        messages = tuple({"role": role, "content": text} for role, text in turns)
        return word(name, messages=messages, correction=correction, decided_at=at)

    last = ("user", "And on Sunday?")
    shop, cafe = ("user", "When is the shop open?"), ("user", "When is the café open?")
    words = [
        told("fbk_shop", shop, ("assistant", "9 to 5."), last, correction="Closed.", at=1.0),
        told("fbk_cafe", cafe, ("assistant", "9 to 5."), last, correction="9 to 4.", at=2.0),
        told("fbk_again", shop, ("assistant", "Always."), last, correction="Till 6.", at=3.0),
        told("fbk_north", ("system", "You are the north shop."), last, correction="No.", at=4.0),
        told("fbk_south", ("system", "You are the south shop."), last, correction="Yes.", at=5.0),
    ]
    assert superseded(words) == {"fbk_shop": "fbk_again"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


@pytest.mark.parametrize("decided_last", range(3))
def test_a_round_learns_the_last_and_is_not_judged_by_the_others(
    store: Store, tiny_model: Path, decided_last: int
) -> None:
    """People who judge and people who teach have corrected the same question."""
    others = {name: priced(store, name) for name in FACTS}
    judges, *_, teaches = sorted(FACTS, key=lambda name: place(f"0:{person(f'knows {name}')}"))
    said = [
        corrected(store, ASKED, answer, who=who)
        for who, answer in zip(("new", f"knows {judges}", f"knows {teaches}"), SAID, strict=True)
    ]
    last = said[decided_last]
    builders.decide(store, last, "accept")
    row = promoted(store, tiny_model, replay_share=0)
    sides = [builders.receipt_of(store, others[name]).status for name in (judges, teaches)]
    assert sides == ["held_out", "used"]
    receipts = {each: builders.receipt_of(store, each) for each in said}
    assert receipts.pop(last).status in ("used", "held_out")
    for receipt in receipts.values():
        assert (receipt.status, receipt.role, receipt.round_id) == ("refused", None, row.id)
        assert "Superseded" in receipt.reason and last in receipt.reason
    assert row.counts["superseded"] == 2
    assert row.counts["feedback"] == len(others) + len(said)
    assert row.counts["used"] + row.counts["held_out"] == row.counts["feedback"] - 2
    with store.session() as session:
        kept = {each.target for each in session.exec(select(PastExample)) if _asks(each)}
    assert kept == {SAID[decided_last]}
    assert "2 superseded by what a reviewer accepted later" in done("round", "show", row.id)
    assert "2 superseded" in funnel.steps(row.counts, 0)[-1].note


def test_the_only_word_left_on_a_question_teaches(store: Store, tiny_model: Path) -> None:
    said = [corrected(store, ASKED, answer, who=f"p{n}") for n, answer in enumerate(SAID)]
    row = promoted(store, tiny_model, held_out_share=0.7)
    told = [builders.receipt_of(store, each).status for each in said]
    assert told == ["refused", "refused", "used"]
    assert (row.counts["used"], row.counts["held_out"], row.counts["superseded"]) == (1, 0, 2)


def _asks(past: PastExample) -> bool:
    return bool(past.messages[-1]["content"] == ASKED)
