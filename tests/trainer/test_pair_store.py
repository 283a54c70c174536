"""Pairs in the database: one verdict of each reviewer, blind to others, gone with whom they quote."""

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from feedback import harvest, retention
from feedback.errors import Conflict, NotFound
from feedback.people import people_key
from feedback.store import Store
from serving.forgetting import forget
from tests import builders, compared
from trainer import pair_store
from trainer.models import PairVerdict, Round, RoundPair
from trainer.pairs import Pair

PAIRS = [compared.pair(number) for number in range(12)]


def queue(store: Store, round_id: str, reviewer: str) -> list[str]:
    with store.session() as session:
        return [row.id for row in pair_store.queue(session, round_id, reviewer)]


def undo(store: Store, round_: Round, pair_id: str, reviewer: str) -> None:
    with store.session(write=True) as session:
        pair_store.undo(session, session.get_one(Round, round_.id), pair_id, reviewer=reviewer)
        session.commit()


def test_each_reviewer_has_an_order_and_what_they_judged_leaves_it(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    rita, sven = queue(store, row.id, "rita"), queue(store, row.id, "sven")
    assert rita != sven and set(rita) == set(sven) and len(rita) == 12
    compared.prefer(store, row.id, "candidate", "tie")
    judged = {each.id for each in compared.kept(store, row.id)[:2]}
    assert queue(store, row.id, "rita") == [name for name in rita if name not in judged]
    assert queue(store, row.id, "sven") == sven


def test_a_reviewer_has_one_verdict_on_a_pair_and_the_last_counts(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    compared.prefer(store, row.id, "candidate")
    compared.prefer(store, row.id, "incumbent")
    compared.prefer(store, row.id, "tie", reviewer="sven")
    with store.session() as session:
        told = pair_store.told(session, row.id)
    assert {each.reviewer: each.change for each in told} == {"rita": -1, "sven": 0}
    with pytest.raises(IntegrityError), store.session(write=True) as session:
        [first] = session.exec(select(PairVerdict).where(PairVerdict.reviewer == "rita"))
        session.connection().execute(
            PairVerdict.__table__.insert(),  # type: ignore[attr-defined]
            first.model_dump(),
        )


def test_no_other_word_is_a_verdict(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    compared.prefer(store, row.id, "candidate")
    with pytest.raises(IntegrityError), store.session(write=True) as session:
        verdict = session.exec(select(PairVerdict)).one()
        verdict.verdict = "candidate"
        session.add(verdict)
        session.flush()


def test_a_verdict_is_taken_back_and_the_pair_comes_again(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    compared.prefer(store, row.id, "candidate")
    first = compared.kept(store, row.id)[0].id
    undo(store, row, first, "rita")
    assert first in queue(store, row.id, "rita")
    with pytest.raises(NotFound, match="no verdict of yours"):
        undo(store, row, first, "rita")
    with pytest.raises(NotFound, match="has no pair"):
        undo(store, row, "pair_none", "rita")


def test_a_pair_of_another_round_is_not_judged_here(store: Store) -> None:
    one = compared.judged(store, PAIRS, gate_reviewed_pairs="report")
    other = compared.judged(store, PAIRS, gate_reviewed_pairs="report", incumbent=one.candidate_id)
    name = compared.kept(store, other.id)[0].id
    with pytest.raises(NotFound), store.session(write=True) as session:
        round_ = session.get_one(Round, one.id)
        pair_store.decide(session, round_, name, reviewer="rita", choice="tie")


def test_the_result_follows_the_sides_that_each_reviewer_saw(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    compared.prefer(store, row.id, *["candidate"] * 12)
    compared.prefer(store, row.id, *["incumbent"] * 6, "both_bad", reviewer="sven")
    with store.session() as session:
        found = pair_store.result(session, row)
        shown = pair_store.verdicts(session, row.id)
    assert found is not None and len(shown) == 19
    assert (found.wins, found.losses, found.both_bad) == (12, 6, 1)
    assert (found.pairs, found.reviewers, found.clusters) == (12, 2, 12)
    assert {each.verdict for each in shown} >= {"left", "right"}


def of(store: Store, who: str, name: str, *, source: str = "live") -> Pair:
    """A pair that quotes what somebody asked."""
    return Pair(
        source,  # type: ignore[arg-type]
        "",
        name,
        people_key(store.settings.data_dir).person_id(f"user:{who}"),
        compared.pair(1).messages,
        f"before {who}",
        f"after {who}",
    )


def test_forgetting_somebody_takes_their_pairs_with_their_verdicts(store: Store) -> None:
    people = people_key(store.settings.data_dir)
    said = {
        who: builders.recorded(store, who=who, person_id=people.person_id(f"user:{who}"))
        for who in ("ana", "ben")
    }
    row = compared.judged(
        store,
        [*(of(store, who, said[who]) for who in said), PAIRS[0]],
        gate_reviewed_pairs="report",
    )
    compared.prefer(store, row.id, "candidate", "candidate", "candidate")
    forget(store, people, "ana", actor="test")
    left = compared.kept(store, row.id)
    assert {each.incumbent_answer for each in left} == {
        "before ben",
        PAIRS[0].incumbent_answer,
    }
    with store.session() as session:
        assert len(pair_store.told(session, row.id)) == 2


def test_forgetting_somebody_a_waiting_round_learned_from_ends_it(store: Store) -> None:
    people = people_key(store.settings.data_dir)
    row = compared.judged(store, PAIRS)
    forget(store, people, builders.person("ben"), actor="test")
    assert compared.of(store, row.id).state == "pending"
    forget(store, people, builders.person("trained"), actor="test")
    ended = compared.of(store, row.id)
    assert ended.state == "abstained" and "forgotten" in ended.message
    with store.session() as session:
        assert harvest.available(session) == 1  # what `held` said; `trained` is nobody any more


def test_a_pair_does_not_outlive_what_it_was_copied_from(store: Store) -> None:
    old = builders.recorded(store, who="ana", created_at=1.0)
    new = builders.recorded(store, who="ben")
    row = compared.judged(
        store,
        [of(store, "ana", old), of(store, "ben", new), PAIRS[0]],
        gate_reviewed_pairs="report",
        gate_pairs_needed=3,
    )
    compared.prefer(store, row.id, "candidate", "candidate", "candidate")
    kept = store.settings.model_copy(update={"keep_unrated_days": 30.0})
    settings, store.settings = store.settings, kept
    retention.purge(store)
    store.settings = settings
    with store.session(write=True) as session:
        assert pair_store.empty(session) == 1
        assert pair_store.empty(session) == 0
        session.commit()
        rows = {each.item_id: each for each in session.exec(select(RoundPair))}
        assert len(pair_store.told(session, row.id)) == 3  # what was said of it still counts
    assert rows[old].messages == [] and rows[old].candidate_answer == ""
    assert rows[new].messages and rows["item-0"].messages
    assert old not in queue(store, row.id, "sven")
    with pytest.raises(Conflict, match="kept no longer"), store.session(write=True) as session:
        round_ = session.get_one(Round, row.id)
        pair_store.decide(session, round_, rows[old].id, reviewer="sven", choice="tie")


def test_live_prompts_are_those_nobody_remarked_on_without_personal_data(store: Store) -> None:
    said = builders.say(store, "ana")
    quiet = [
        builders.recorded(store, who="ben", question=f"Mail me at ben{n}@example.org?")
        for n in range(5)
    ]
    plan = builders.plan(gate_pairs_live=3)
    settings = store.settings.model_copy(update={"redaction": "training"})
    with store.session() as session:
        found = pair_store.live_prompts(session, settings, plan)
        assert pair_store.live_prompts(session, settings, builders.plan()) == ()
    assert len(found) == 3 and {each.exchange_id for each in found} <= set(quiet)
    assert said and all("example.org" not in each.messages[0]["content"] for each in found)
