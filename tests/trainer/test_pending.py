"""A round that waits for reviewers: counted once, promoted or refused by itself, never for ever."""

import time
from typing import Any

import pytest
from sqlmodel import select

from feedback import harvest
from feedback.errors import Conflict
from feedback.models import Receipt
from feedback.store import Store
from tests import builders, compared
from trainer import ledger, pair_store, pending, registry
from trainer import round as rounds
from trainer.models import Adapter, PastExample, Retirement, Round
from trainer.settings import TrainerSettings

PAIRS = [compared.pair(number) for number in range(12)]
DAY_SECONDS = 86_400.0


def adapter(store: Store, row: Round) -> Adapter:
    assert row.candidate_id is not None
    with store.session() as session:
        return registry.get(session, row.candidate_id)


def live_id(store: Store) -> str | None:
    with store.session() as session:
        return registry.live_id(session)


def statuses(store: Store) -> dict[str, int]:
    with store.session() as session:
        found: dict[str, int] = {}
        for receipt in session.exec(select(Receipt)):
            found[receipt.status] = found.get(receipt.status, 0) + 1
    return found


def learned(store: Store) -> int:
    with store.session() as session:
        return len(session.exec(select(PastExample)).all()) + len(
            session.exec(select(Retirement)).all()
        )


def opened(store: Store, **fields: Any) -> Round:
    settings = TrainerSettings(base_model="bare", **fields)
    with store.session(write=True) as session:
        row = rounds.open(session, store.settings, settings, trigger="test")
        session.commit()
    return row


def test_a_round_that_would_be_promoted_waits_for_reviewers(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    assert (row.state, row.open_slot, row.ended_at) == ("pending", None, None)
    assert row.report is not None and row.report["outcome"] == "abstain"
    assert row.report["rules"][-1]["needed"] == 4
    assert "4 more pairs need a reviewer's verdict" in row.message
    assert live_id(store) is None and adapter(store, row).state == "candidate"
    assert statuses(store) == {"waiting": 3}
    with store.session() as session:  # and nobody else may claim what it holds
        assert harvest.available(session) == 0


def test_enough_verdicts_for_it_promote_it_with_everything_that_follows(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_needed=12)
    compared.prefer(store, row.id, *["candidate"] * 10, "incumbent", "tie")
    settled = compared.look(store)
    assert settled is not None and settled.state == "promoted"
    assert live_id(store) == row.candidate_id and adapter(store, row).state == "live"
    assert statuses(store) == {"used": 1, "held_out": 1, "refused": 1}
    assert learned(store) == 3
    row = compared.of(store, row.id)
    assert row.pending is None and row.ended_at is not None and row.report is not None
    assert row.report["outcome"] == "promote"
    [rule] = [rule for rule in row.report["rules"] if rule["name"] == "reviewed-pairs"]
    assert (rule["gained"], rule["lost"], rule["items"]) == (10, 1, 12)
    assert row.message.startswith("The gate says promote.")
    assert compared.look(store) is None


def test_verdicts_against_it_refuse_it_and_its_feedback_goes_to_review(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_needed=12)
    compared.prefer(store, row.id, *["incumbent"] * 11, "tie")
    settled = compared.look(store)
    assert settled is not None and settled.state == "refused"
    assert live_id(store) is None and adapter(store, row).state == "rejected"
    assert statuses(store) == {"review": 2, "refused": 1}
    assert learned(store) == 0


def test_verdicts_that_do_not_tell_end_it_and_it_is_not_looked_at_again(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    compared.prefer(store, row.id, "candidate", "incumbent", "tie", "both_bad")
    settled = compared.look(store)
    assert settled is not None and settled.state == "abstained"
    assert "more pairs would tell" in settled.message
    assert statuses(store) == {"waiting": 2, "refused": 1} and learned(store) == 0
    with pytest.raises(Conflict, match="ended"):
        compared.prefer(store, row.id, *["candidate"] * 12)
    with store.session() as session:
        assert harvest.available(session) == 2


def test_nothing_is_counted_before_enough_pairs_are_judged_whatever_they_say(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_needed=12)
    compared.prefer(store, row.id, *["candidate"] * 11)
    compared.prefer(store, row.id, *["candidate"] * 11, reviewer="sven")  # the same pairs
    assert compared.look(store) is None
    row = compared.of(store, row.id)
    assert row.state == "pending" and "1 more pair needs" in row.message


def test_the_last_verdict_can_be_changed_for_a_moment(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_needed=12)
    compared.prefer(store, row.id, *["incumbent"] * 12)
    assert compared.look(store, grace_seconds=60) is None
    compared.prefer(store, row.id, *["candidate"] * 12)
    settled = compared.look(store, in_seconds=61, grace_seconds=60)
    assert settled is not None and settled.state == "promoted"


@pytest.mark.parametrize(
    ("plan", "state"),
    [
        ({"gate_reviewed_pairs": "report"}, "promoted"),
        ({"gate_reviewed_pairs": "off"}, "promoted"),
        ({"gate": "report-only"}, "promoted"),
        ({"outcome_": "refuse"}, "refused"),
        ({"outcome_": "abstain"}, "abstained"),
    ],
)
def test_no_other_round_waits(store: Store, plan: dict[str, Any], state: str) -> None:
    row = compared.judged(store, PAIRS, **plan)
    assert row.state == state
    assert compared.look(store) is None
    assert len(compared.kept(store, row.id)) == (
        0 if plan.get("gate_reviewed_pairs") == "off" else 12
    )


def test_a_round_in_which_nothing_differs_has_nothing_to_wait_for(store: Store) -> None:
    assert compared.judged(store, []).state == "promoted"


def test_a_round_with_few_pairs_waits_for_those_alone(store: Store) -> None:
    row = compared.judged(store, PAIRS[:3], gate_pairs_needed=40)
    compared.prefer(store, row.id, "candidate", "candidate", "candidate")
    assert compared.look(store) is not None


def test_a_round_does_not_wait_for_ever(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_days=3)
    assert compared.look(store, in_seconds=2.9 * DAY_SECONDS) is None
    settled = compared.look(store, in_seconds=3.1 * DAY_SECONDS)
    assert settled is not None and settled.state == "abstained" and settled.message == pending.LATE
    assert statuses(store) == {"waiting": 2, "refused": 1}
    assert adapter(store, row).state == "rejected"


def test_a_waiting_round_lets_the_scheduler_open_the_next_which_takes_its_feedback_too(
    store: Store,
) -> None:
    row = compared.judged(store, PAIRS)
    settings = TrainerSettings(base_model="bare", minimum_material=2, new_material=2)
    with store.session() as session:
        assert rounds.due(session, settings, now_seconds=time.time()) is None  # it holds all
    builders.say(store, "new 1")
    builders.say(store, "new 2")
    with store.session() as session:
        assert rounds.due(session, settings, now_seconds=time.time()) is not None
    with store.session(write=True) as session:
        assert pending.supersede(session) is not None
        rounds.open(session, store.settings, settings, trigger="test")
        session.commit()
    assert compared.of(store, row.id).state == "abstained"
    with store.session() as session:
        assert harvest.available(session) == 4


def test_by_hand_nobody_opens_a_round_over_one_that_waits(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    builders.say(store, "new")
    with pytest.raises(Conflict, match=f"heed round judge {row.id}"):
        opened(store)
    with store.session(write=True) as session:
        assert rounds.cancel(store, session, row.id).state == "cancelled"
        session.commit()
    assert learned(store) == 0 and adapter(store, row).state == "rejected"
    assert opened(store).state == "open"


def test_a_round_whose_incumbent_is_live_no_more_is_not_promoted(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    builders.live(store, builders.published(store))
    compared.prefer(store, row.id, *["candidate"] * 12)
    settled = compared.look(store)
    assert settled is not None and settled.state == "abstained"
    assert settled.message == pending.MOVED
    assert live_id(store) != row.candidate_id


def test_a_candidate_that_somebody_promotes_by_hand_waits_no_more(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    builders.live(store, adapter(store, row))
    settled = compared.look(store)
    assert settled is not None and settled.state == "promoted"
    assert settled.message == pending.BY_HAND
    assert adapter(store, row).state == "live" and statuses(store)["used"] == 1


def test_a_waiting_rounds_report_quotes_no_answer(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    assert row.report is not None
    row.report = {**row.report, "caught": [{"incumbent_answer": "old", "candidate_answer": "new"}]}
    assert row.shown_report is not None and row.shown_report["caught"] == []
    row.state = "promoted"
    assert row.shown_report == row.report


def test_verdicts_of_a_round_that_did_not_wait_end_as_well(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_reviewed_pairs="report")
    compared.prefer(store, row.id, *["candidate"] * 4)
    now = time.time()
    with store.session() as session:
        assert not pair_store.judging(session, row, now_seconds=now).ended
        assert pair_store.judging(session, row, now_seconds=now + 61).ended
        assert ledger.of_round(session, row.id) == []
