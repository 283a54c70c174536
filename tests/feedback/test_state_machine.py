"""The store beside a dictionary: whatever people, reviewers and rounds do, both say the same.

The model below knows the rules and no database. `make soak` plays fifty times as many lives.
"""

import random
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event
from sqlmodel import SQLModel, col, select

from feedback import forget, harvest, intake, receipts, review
from feedback.errors import Conflict, HeedError, NotFound
from feedback.harvest import Fate
from feedback.ids import new_id
from feedback.intake import Taken, Told
from feedback.models import Exchange, Feedback, Person, Receipt, Status
from feedback.store import Store
from tests import builders
from tests.feedback.dictionary_model import PEOPLE, SAYS, Model, Said, arrives

LIVES, STEPS = 12, 25
FORGET_AFTER = 6
ENDINGS: tuple[Status | None, ...] = ("used", "held_out", "refused", "review", "waiting", None)


class Life(RuleBasedStateMachine):
    """Plays with one store; it is emptied before each life."""

    store: Store
    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        with self.store.session(write=True) as session:
            for table in reversed(SQLModel.metadata.sorted_tables):
                session.connection().execute(table.delete())
            session.commit()
        self.settings = self.store.settings.model_copy(
            update={"account_cap_minimum": 1000, "quorum_accounts": 1000}
        )
        self.model = Model()
        self.exchanges = [builders.recorded(self.store, who=who) for who in PEOPLE]
        self.whose = list(PEOPLE)
        self.lately = [0, 1]
        """Each person's last exchange, by its place in the list."""
        self.events = 0
        self.round_id = new_id("rnd")

    @rule(
        target=known,
        who=st.sampled_from(PEOPLE),
        place=st.integers(0, 2),
        what=st.sampled_from(sorted(SAYS)),
        at=st.integers(0, 5),
    )
    def submit(self, who: str, place: int, what: str, at: int) -> str:
        return self.say(who, [*self.lately, 0][place], what, at)

    def say(self, who: str, about: int, what: str, at: int) -> str:
        self.events += 1
        says = SAYS[what]
        told = builders.told(
            who,
            completion_id=self.exchanges[about],
            event_id=f"evt_{self.events * 37 % 101:03}_{self.events}",  # in no order
            created_at=1_700_000_000 + at,
            **says,
        )
        result = self.take(told)
        if about in self.model.gone:
            assert isinstance(result, NotFound)
            return ""
        assert isinstance(result, Taken) and not result.repeated
        name = result.receipt.feedback_id
        self.model.said[name] = Said(told, who, about, 1_700_000_000 + at, says, arrives(says))
        return name

    @rule(target=known, name=known, rating=st.sampled_from(["up", "down"]))
    def vote_again(self, name: str, rating: str) -> str:
        """The same person on the same answer, a little later."""
        this = self.model.said.get(name)
        if this is None or this.status == "forgotten":
            return ""
        return self.say(this.who, this.about, rating, int(this.at - 1_700_000_000) + 1)

    @rule(name=known)
    def deliver_again(self, name: str) -> None:
        if not name:
            return
        this = self.model.said[name]
        event_id = this.told.submission.event_id
        remembered = {
            other.told.submission.event_id: other_name
            for other_name, other in self.model.said.items()
            if other.status != "forgotten"
        }
        result = self.take(this.told)
        if event_id in remembered:
            assert isinstance(result, Taken) and result.repeated
            assert result.receipt.feedback_id == remembered[event_id]
        elif this.about in self.model.gone:
            assert isinstance(result, NotFound)
        else:  # what was forgotten is not remembered as an event either: sent again, it is new
            assert isinstance(result, Taken) and not result.repeated
            who = next(who for who in PEOPLE if builders.person(who) == this.told.person_id)
            self.model.said[result.receipt.feedback_id] = Said(
                this.told, who, this.about, this.at, this.says, arrives(this.says)
            )

    @rule(name=known)
    def send_something_else_under_the_same_event(self, name: str) -> None:
        if not name or self.model.said[name].status == "forgotten":
            return
        told = self.model.said[name].told
        other = builders.submission(
            completion_id=told.submission.completion_id,
            event_id=told.submission.event_id,
            comment="Something else.",
        )
        assert isinstance(self.take(replace(told, submission=other)), Conflict)

    @rule(name=known)
    def withdraw(self, name: str) -> None:
        if not name:
            return
        this = self.model.said[name]
        fault = self.attempt(lambda session: receipts.withdraw(session, name))
        if this.held or this.status in ("used", "held_out"):
            assert isinstance(fault, Conflict)
        else:
            assert fault is None
            if this.status != "forgotten":
                self.model.withdraw(name)

    @rule(name=known, decision=st.sampled_from(["accept", "refuse", "edit", "reopen"]))
    def decide(self, name: str, decision: Any) -> None:
        if not name:
            return
        this = self.model.said[name]
        fault = self.attempt(
            lambda session: review.decide(
                session,
                self.settings,
                feedback_id=name,
                decision=decision,
                reviewer="rita",
                correction="It costs 79." if decision == "edit" else None,
            )
        )
        if this.held or this.status in ("used", "held_out", "withdrawn", "forgotten"):
            assert isinstance(fault, Conflict)
            return
        assert fault is None
        ends: dict[str, Status] = {"accept": "waiting", "edit": "waiting", "refuse": "refused"}
        this.status = ends.get(decision, "review")
        this.names_round, this.role = False, None
        this.edited |= decision == "edit"

    @rule()
    def claim(self) -> None:
        if any(this.held for this in self.model.said.values()):
            return
        self.round_id = new_id("rnd")
        expected = self.model.claim()
        with self.store.session(write=True) as session:
            taken = harvest.claim(session, self.settings, self.round_id)
            assert harvest.claim(session, self.settings, self.round_id) == taken
            session.commit()
        with self.store.session() as session:
            words = {word.feedback_id: word for word in harvest.words(session, self.round_id)}
        assert set(words) <= expected
        for name in expected - set(words):
            # People's votes may outweigh each other's; how, is not for a dictionary to say.
            assert builders.receipt_of(self.store, name).reason.startswith("It does not count")
            this = self.model.said[name]
            this.status, this.held, this.names_round = "refused", False, False
        for name, word in words.items():
            this = self.model.said[name]
            again = {
                kind
                for other in self.model.said.values()
                if (other.who, other.about) == (this.who, this.about)
                and other.status not in ("withdrawn", "forgotten")
                and other.order > this.order
                for kind in other.says
            }
            assert (word.rating is not None) == ("rating" in this.says and "rating" not in again)

    @rule(target=known, name=known, rating=st.sampled_from(["up", "down"]))
    def change_ones_mind_back_after_a_round_that_abstained(self, name: str, rating: str) -> str:
        later = str(self.vote_again(name, rating))
        self.claim()
        self.release()
        self.withdraw(later)
        return later

    @rule()
    def release(self) -> None:
        held = [this for this in self.model.said.values() if this.held]
        with self.store.session(write=True) as session:
            assert harvest.release(session, self.round_id, "Given back.") == len(held)
            session.commit()
        for this in held:
            this.held = this.names_round = False

    @rule(seed=st.integers(0, 3))
    def finish(self, seed: int) -> None:
        draw = random.Random(seed)
        fates = {}
        for name, this in self.model.said.items():
            if this.held:
                status = draw.choice(ENDINGS)
                if status is not None:
                    fates[name] = Fate(status, "Tested.", "adp_1", "demonstration")
                    this.role = "demonstration"
                this.names_round = status not in (None, "waiting")
                this.status, this.held = status or "waiting", False
        with self.store.session(write=True) as session:
            harvest.finish(session, self.round_id, fates)
            session.commit()

    @precondition(lambda self: len(self.model.said) >= FORGET_AFTER)
    @rule(who=st.sampled_from(PEOPLE))
    def forget_and_come_back(self, who: str) -> None:
        with self.store.session(write=True) as session:
            forget.erase(session, forget.trace(session, [builders.person(who)]))
            session.commit()
        theirs = {place for place in range(len(self.exchanges)) if self.whose[place] == who}
        self.model.forget(who, theirs)
        self.lately[PEOPLE.index(who)] = len(self.exchanges)
        self.exchanges.append(builders.recorded(self.store, who=who))
        self.whose.append(who)

    @invariant()
    def both_say_the_same(self) -> None:
        with self.store.session() as session:
            rows = session.exec(
                select(Receipt, Feedback).join(Feedback, col(Feedback.id) == Receipt.feedback_id)
            ).all()
            people = set(session.exec(select(Person.id)))
            told = session.exec(select(Exchange)).all()
        stored = {
            receipt.feedback_id: (
                receipt.status,
                receipt.round_id is not None,
                receipt.role,
                feedback.body if receipt.status != "forgotten" else {},
                feedback.person_id if receipt.status != "forgotten" else "forgotten",
            )
            for receipt, feedback in rows
        }
        assert stored == {
            name: (
                this.status,
                this.names_round,
                this.role,
                this.says if this.status != "forgotten" else {},
                builders.person(this.who) if this.status != "forgotten" else "forgotten",
            )
            for name, this in self.model.said.items()
        }
        assert all(
            (feedback.body == {}) == (receipt.status == "forgotten") for receipt, feedback in rows
        )
        left = {this.who for this in self.model.said.values()} - {"forgotten"}
        assert {builders.person(who) for who in left} <= people
        assert all((each.messages == []) == (each.state == "forgotten") for each in told)

    def take(self, told: Told) -> object:
        with self.store.session(write=True) as session:
            [result] = intake.apply(session, [told], self.settings)
            session.commit()
        return result

    def attempt(self, change: Any) -> HeedError | None:
        with self.store.session(write=True) as session:
            try:
                change(session)
            except HeedError as fault:
                return fault
            session.commit()
        return None


def test_the_store_and_a_dictionary_say_the_same(store: Store, count: int) -> None:
    if store.is_sqlite:  # a power cut is not among the rules, and each step is several commits
        event.listen(
            store.engine, "connect", lambda made, _: made.execute("PRAGMA synchronous=OFF")
        )
    run_state_machine_as_test(
        type("LifeHere", (Life,), {"store": store}),
        settings=settings(
            max_examples=LIVES * count,
            stateful_step_count=STEPS,
            # Making a failure shorter takes minutes; `make soak` has them.
            phases=tuple(Phase) if count > 1 else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
    )
