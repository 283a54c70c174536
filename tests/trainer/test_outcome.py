"""What a judged round leaves behind, in one transaction."""

from typing import Any, Literal

from sqlmodel import select

from feedback import harvest
from feedback.store import Store
from tests import builders
from trainer import examples, material, outcome, registry
from trainer.gate import GateReport
from trainer.models import Adapter, PastExample, Retirement, Round

RIGHT = "The lamp costs 59 dollars."


class Judged:
    """A round that has trained and been judged, and waits for its verdict to be written."""

    def __init__(self, store: Store, *, incumbent: str | None = None, **fields: Any) -> None:
        self.store = store
        names = ("trained", "held", "praise", "silent", "late", "void", "thumb")
        self.said = {name: builders.say(store, name, rating="down") for name in names}
        self.round_id = builders.opened_round(store, incumbent_id=incumbent).id
        with store.session(write=True) as session:
            assert harvest.claim(session, store.settings, self.round_id) == len(names)
            session.commit()
        self.candidate = builders.published(store, parent=incumbent)
        word = builders.word(self.said["trained"], correction=RIGHT)
        held = builders.word(self.said["held"], correction=RIGHT, person_id="per_held")
        self.sorted = material.Sorted(
            training=tuple(examples.build([word])),
            held_out=(held,),
            judging=(),
            retired={"pst_old": word},
            conflicts=(),
            roles={self.said["trained"]: "demonstration, preference"},
            contradicted={self.said["praise"]: self.said["trained"]},
            silent=(self.said["silent"],),
            superseded={self.said["void"]: self.said["trained"]},
            measured=(builders.word(self.said["thumb"], rating=1.0, person_id="per_held"),),
        )
        self.plan = builders.plan(**fields)

    def apply(self, verdict: Literal["promote", "refuse", "abstain"]) -> str:
        report = GateReport(
            outcome=verdict, enforced=True, rules=(), caught=(), summary=f"We {verdict}."
        )
        with self.store.session(write=True) as session:
            row = session.get_one(Round, self.round_id)
            candidate = session.get_one(Adapter, self.candidate.id)
            state = outcome.apply(
                session, outcome.Verdict(row, self.plan, candidate, self.sorted, report)
            )
            session.commit()
        return state

    def fates(self) -> dict[str, str]:
        """Per piece of feedback its status."""
        return {
            name: builders.receipt_of(self.store, feedback_id).status
            for name, feedback_id in self.said.items()
        }

    def live_id(self) -> str | None:
        with self.store.session() as session:
            deployment = registry.live(session)
            return deployment.live_id if deployment else None

    def row(self) -> Round:
        with self.store.session() as session:
            return session.get_one(Round, self.round_id)

    def state(self) -> str:
        """The candidate's."""
        with self.store.session() as session:
            return registry.get(session, self.candidate.id).state


def _remembered(store: Store) -> int:
    with store.session() as session:
        return len(session.exec(select(PastExample)).all()) + len(
            session.exec(select(Retirement)).all()
        )


def test_a_promoted_round_goes_live_remembers_and_tells_everyone(store: Store) -> None:
    judged = Judged(store)
    assert judged.apply("promote") == "promoted"
    assert judged.live_id() == judged.candidate.id
    assert judged.state() == "live"
    assert judged.fates() == {
        "trained": "used",
        "held": "held_out",
        "praise": "refused",
        "silent": "refused",
        "late": "waiting",
        "void": "refused",
        "thumb": "held_out",
    }
    for name in ("praise", "void"):
        assert judged.said["trained"] in builders.receipt_of(store, judged.said[name]).reason
    thumb = builders.receipt_of(store, judged.said["thumb"])
    assert (thumb.adapter_id, thumb.role) == (judged.candidate.id, "verdicts")
    assert "kept to measure" in thumb.reason
    learned = builders.receipt_of(store, judged.said["trained"])
    assert (learned.adapter_id, learned.role) == (judged.candidate.id, "demonstration, preference")
    row = judged.row()
    assert (row.state, row.open_slot, row.progress) == ("promoted", None, 1.0)
    assert row.candidate_id == judged.candidate.id
    assert row.report is not None and row.report["outcome"] == "promote"
    with store.session() as session:
        past = {each.split: each for each in session.exec(select(PastExample))}
        [retirement] = session.exec(select(Retirement)).all()
    assert {split: each.target for split, each in past.items()} == {"train": RIGHT, "judge": RIGHT}
    assert past["train"].feedback_ids == [judged.said["trained"]]
    assert (retirement.past_id, retirement.new_target) == ("pst_old", RIGHT)


def test_a_refused_round_changes_nothing_and_its_feedback_goes_to_review(store: Store) -> None:
    judged = Judged(store)
    assert judged.apply("refuse") == "refused"
    assert judged.live_id() is None
    assert judged.state() == "rejected"
    assert judged.fates() == {
        "trained": "review",
        "held": "review",
        "praise": "refused",
        "silent": "waiting",
        "late": "waiting",
        "void": "refused",
        "thumb": "review",
    }
    assert _remembered(store) == 0
    assert judged.row().state == "refused"


def test_an_abstained_rounds_feedback_waits_for_the_next(store: Store) -> None:
    judged = Judged(store)
    assert judged.apply("abstain") == "abstained"
    assert judged.state() == "rejected"
    assert {judged.fates()[name] for name in ("trained", "held", "thumb")} == {"waiting"}
    assert _remembered(store) == 0
    with store.session(write=True) as session:
        assert harvest.claim(session, store.settings, "rnd_next") == 5


def test_what_an_older_version_let_wait_can_be_settled() -> None:
    names = ("roles", "held_out", "tuned", "contradicted", "personal", "silent")
    kept: dict[str, object] = {
        name: {} if name in ("roles", "contradicted", "personal") else () for name in names
    }
    assert outcome.Parts.stored(kept).ids == frozenset()


def test_report_only_promotes_whatever_the_gate_says(store: Store) -> None:
    judged = Judged(store, gate="report-only")
    assert judged.apply("refuse") == "promoted"
    assert judged.live_id() == judged.candidate.id


def test_a_canary_share_makes_the_candidate_a_canary(store: Store) -> None:
    judged = Judged(store, canary_share=0.1)
    assert judged.apply("promote") == "promoted"
    assert judged.state() == "canary"
    assert judged.live_id() is None


def test_a_rollback_during_the_round_is_not_undone_by_it(store: Store) -> None:
    """The candidate descends from what somebody has just taken out of service."""
    incumbent = builders.published(store)
    with store.session(write=True) as session:
        registry.promote(session, incumbent.id, actor="test", reason="test")
        session.commit()
    judged = Judged(store, incumbent=incumbent.id)
    with store.session(write=True) as session:
        registry.rollback(session, actor="rita")
        session.commit()
    assert judged.apply("promote") == "abstained"
    assert judged.live_id() is None
    assert judged.state() == "rejected"
    assert judged.fates()["trained"] == "waiting"
    assert "live" in judged.row().message
    assert _remembered(store) == 0


def test_another_round_can_open_once_this_one_is_over(store: Store) -> None:
    Judged(store).apply("abstain")
    assert builders.opened_round(store).open_slot is not None
