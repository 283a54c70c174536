"""Implicit signals: delivered, derived from the log, and turned into weak labels."""

import time
from collections.abc import Sequence

import pytest

from feedback import harvest, receipts, reports, signals
from feedback.harvest import Fate, Word
from feedback.signals import ASKED_AGAIN, FOLLOWED_UP, LAST_TURN, REWORDED, TURNS, Observed
from feedback.store import Store
from tests import builders
from tests.clicks import clicks

NOW = 1_000.0


def seen(store: Store, exchange_id: str, who: str = "ana") -> Observed:
    one = Observed((exchange_id, 0, builders.person(who)))
    with store.session() as session:
        signals.observe(session, [one])
    return one


def talk(store: Store, *turns: tuple[int, str], who: str = "ana", first: float = NOW) -> list[str]:
    return [
        builders.recorded(
            store,
            who=who,
            question=question,
            conversation_id="conv",
            turn=turn,
            created_at=first + number,
        )
        for number, (turn, question) in enumerate(turns)
    ]


def test_what_was_delivered_is_read_with_its_size_and_the_last_counts(store: Store) -> None:
    name = builders.recorded(store)
    builders.say(store, completion_id=name, signal="dwell", value=3.0, created_at=10.0)
    builders.say(store, completion_id=name, signal="dwell", value=8.0, created_at=20.0)
    builders.say(store, completion_id=name, signal="copy")
    builders.say(store, "ben", completion_id=name, signal="click")
    gone = builders.say(store, completion_id=name, signal="edit")
    with store.session(write=True) as session:
        receipts.withdraw(session, gone)
        session.commit()
    found = seen(store, name)
    assert found.signals == {"dwell": 8.0, "copy": None}
    assert len(found.delivered) == 3
    assert seen(store, name, "ben").signals == {"click": None}


def test_asking_the_same_again_is_seen_on_the_earlier_answer_alone(store: Store) -> None:
    first = builders.recorded(store, created_at=NOW)
    second = builders.recorded(store, created_at=NOW + 5)
    builders.recorded(store, who="ben", created_at=NOW + 9)
    assert ASKED_AGAIN in seen(store, first).signals
    assert seen(store, second).signals == {}


def test_turns_tell_follow_up_rewording_and_the_end(store: Store) -> None:
    first, clumsy, better = talk(store, (1, "a?"), (2, "b?"), (2, "b, please?"))
    assert seen(store, first).signals == {FOLLOWED_UP: None, TURNS: 2.0}
    assert seen(store, clumsy).signals == {REWORDED: None, LAST_TURN: None, TURNS: 2.0}
    assert seen(store, better).signals == {LAST_TURN: None, TURNS: 2.0}


def test_what_is_said_of_a_conversation_belongs_to_its_last_answer(store: Store) -> None:
    first, last = talk(store, (1, "a?"), (2, "b?"))
    builders.tell(store, builders.told(conversation_id="conv", signal="session_end", value=90.0))
    assert "session_end" not in seen(store, first).signals
    assert seen(store, last).signals["session_end"] == 90.0


def test_a_clients_own_prompts_are_no_turns(store: Store) -> None:
    (only,) = talk(store, (1, "a?"))
    builders.recorded(store, conversation_id="conv", turn=2, origin="task", created_at=NOW + 9)
    assert LAST_TURN in seen(store, only).signals


def test_a_pair_is_a_vote_and_a_signal_of_one_person_on_one_answer(store: Store) -> None:
    both, voted, clicked, others = (builders.recorded(store, question=q) for q in "abcd")
    builders.say(store, completion_id=both, rating="down", created_at=1.0)
    builders.say(store, completion_id=both, rating="up", created_at=2.0)
    builders.say(store, completion_id=both, signal="copy")
    builders.say(store, completion_id=voted, rating="up")
    builders.say(store, completion_id=clicked, signal="copy")
    builders.say(store, completion_id=others, rating="up")
    builders.say(store, "ben", completion_id=others, signal="copy")
    with store.session() as session:
        (pair,) = signals.pairs(session, most=10)
        unvoted = {one.slot for one in signals.unvoted(session, most=10)}
    assert (pair.slot[0], pair.satisfied, pair.signals) == (both, True, {"copy": None})
    assert unvoted == {
        (clicked, 0, builders.person()),
        (others, 0, builders.person("ben")),
    }


def test_nobody_floods_the_pairs(store: Store) -> None:
    for _ in range(signals.MOST_PER_PERSON + 3):
        builders.say(store, rating="up", signal="copy")
    with store.session() as session:
        assert len(signals.pairs(session, most=500)) == signals.MOST_PER_PERSON


def populate(store: Store, *, votes: int, unvoted: int = 0, people: int = 40) -> list[str]:
    """People who vote and click, then people who only click; returns the answers of these."""
    made = clicks(5, answers=votes + unvoted, people=people)
    names, tolds, silent = [], [], []
    for at, (acts, satisfied) in enumerate(zip(made.signals, made.satisfied, strict=True)):
        # Whoever only clicks is somebody else, whose account has no vote.
        who = made.people[at] if at < votes else f"quiet-{at}"
        names.append(builders.exchange(who=who, question=f"question {at}?", answer=f"Answer {at}."))
        about = {"completion_id": names[-1].id}
        if at < votes:
            tolds.append(builders.told(who, rating="up" if satisfied else "down", **about))
        else:
            silent.append(names[-1].id)
        for name, value in (acts or {"read": None}).items():
            size = {} if value is None else {"value": value}
            tolds.append(builders.told(who, signal=name, **about, **size))
    builders.record(store, *names)
    builders.tell(store, *tolds)
    return silent


def claimed(store: Store, **changes: object) -> list[Word]:
    settings = store.settings.model_copy(update={"account_cap_minimum": 50, **changes})
    with store.session(write=True) as session:
        harvest.claim(session, settings, "rnd_1")
        session.commit()
    with store.session() as session:
        return harvest.words(session, "rnd_1")


def weak(words: Sequence[Word]) -> list[Word]:
    return [word for word in words if word.accepted_by == "signal"]


def test_signals_teach_where_nobody_voted(store: Store) -> None:
    silent = populate(store, votes=150, unvoted=40)
    words = claimed(store)
    found = weak(words)
    assert 10 < len(found) <= len(silent)
    assert all(word.weight <= 0.3 and word.kind == "signal" for word in found)
    assert {word.rating > 0.5 for word in found if word.rating is not None} == {True, False}
    assert any(word.also for word in found)
    with store.session() as session:
        rows = {each.feedback_id: each for word in found for each in [word]}
        assert len(rows) == len(found)
        receipt, _ = receipts.receipt(session, found[0].feedback_id)
    assert (receipt.accepted_by, receipt.round_id) == ("signal", "rnd_1")
    noise = harvest.noise(words)["signal"]
    assert 0 < noise["wrong_share"] < 0.5


def test_all_signals_of_one_word_share_its_fate(store: Store) -> None:
    populate(store, votes=150, unvoted=40)
    one = next(word for word in weak(claimed(store)) if word.also)
    fate = Fate("used", "Learned.", "adp_1", "signal")
    with store.session(write=True) as session:
        harvest.finish(session, "rnd_1", {one.feedback_id: fate})
        session.commit()
    for name in (one.feedback_id, *one.also):
        assert builders.receipt_of(store, name).role == "signal"


def test_clicks_of_a_refused_round_are_refused_and_not_reviewed(store: Store) -> None:
    populate(store, votes=150, unvoted=40)
    one = weak(claimed(store))[0]
    with store.session(write=True) as session:
        harvest.finish(session, "rnd_1", {one.feedback_id: Fate("review", "Refused.")})
        session.commit()
    assert builders.receipt_of(store, one.feedback_id).status == "refused"


def test_given_back_signals_are_only_signals_again(store: Store) -> None:
    populate(store, votes=150, unvoted=40)
    one = weak(claimed(store))[0]
    with store.session(write=True) as session:
        harvest.release(session, "rnd_1", "The round failed.")
        session.commit()
    assert builders.receipt_of(store, one.feedback_id).accepted_by is None
    assert weak(claimed(store))


@pytest.mark.parametrize(
    ("votes", "changes"), [(49, {}), (150, {"signal_labels": False})], ids=["too few", "off"]
)
def test_signals_teach_nothing(store: Store, votes: int, changes: dict[str, object]) -> None:
    populate(store, votes=votes, unvoted=20)
    assert weak(claimed(store, **changes)) == []


def test_clicks_stand_under_the_cap_of_their_account(store: Store) -> None:
    populate(store, votes=150)
    acts = [builders.told("flood", completion_id=name, signal="copy") for name in _asked(store, 30)]
    builders.tell(store, *acts)
    words = weak(claimed(store, account_cap_minimum=4))
    assert len(words) == 4


def _asked(store: Store, number: int) -> list[str]:
    made = [builders.exchange(who="flood", question=f"flood {at}?") for at in range(number)]
    names = [each.id for each in made]
    builders.record(store, *made)
    return names


def test_the_report_says_what_signals_are_worth(store: Store) -> None:
    populate(store, votes=200)
    with store.session() as session:
        found = reports.signals(
            session, store.settings.model_copy(update={"account_cap_minimum": 50})
        )
    assert found["usable"] and found["pairs"] == 200
    assert sum(each["count"] for each in found["reliability"]) == 200
    assert found["delivered"]["copy"] > 20
    assert {each["name"] for each in found["signals"]} >= {"copy", "dwell", "regenerate"}


def test_the_report_of_an_empty_store_says_not_enough(store: Store) -> None:
    began = time.monotonic()
    with store.session() as session:
        found = reports.signals(session, store.settings)
    assert not found["usable"] and "Not enough" in found["reason"]
    assert time.monotonic() - began < 30
