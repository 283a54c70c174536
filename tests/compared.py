"""Rounds whose answers people compare: what they trained on, what they kept, what reviewers say."""

from collections.abc import Sequence
from typing import Any

from feedback import harvest
from feedback.store import Store
from tests import builders
from trainer import examples, material, outcome, pair_store, pending
from trainer.examples import Message
from trainer.gate import GateReport
from trainer.models import Adapter, Round, RoundPair
from trainer.pairs import Choice, Pair, Source, candidate_left

BEFORE, AFTER = "It costs 49 dollars", "It costs 59 dollars"
RIGHT = "The lamp costs 59 dollars."


def pair(
    number: int, *, source: Source = "new", cluster: str | None = None, suite: str = "prices"
) -> Pair:
    """One prompt that both models answer, differently."""
    return Pair(
        source,
        suite,
        f"item-{number}",
        cluster or f"cluster-{number}",
        (Message(role="user", content=f"What does lamp {number} cost?"),),
        f"{BEFORE} and {number} cents.",
        f"{AFTER} and {number} cents.",
    )


def judged(
    store: Store,
    pairs: Sequence[Pair],
    *,
    outcome_: Any = "promote",
    incumbent: str | None = None,
    **plan: Any,
) -> Round:
    """A round that the gate's rules would promote, and that kept these pairs."""
    chosen = builders.plan(
        **{"gate_reviewed_pairs": "required", "gate_pairs_needed": 4, "gate_pairs": 500, **plan}
    )
    names = ("trained", "held", "praise")
    said = {name: builders.say(store, name, rating="down") for name in names}
    opened = builders.opened_round(
        store, incumbent_id=incumbent, plan=chosen.model_dump(mode="json")
    )
    made = builders.published(store, parent=incumbent)
    word = builders.word(said["trained"], correction=RIGHT)
    held = builders.word(said["held"], correction=RIGHT, person_id="per_held")
    sorted_ = material.Sorted(
        training=tuple(examples.build([word])),
        held_out=(held,),
        judging=(),
        retired={"pst_old": word},
        conflicts=(),
        roles={said["trained"]: "demonstration"},
        contradicted={said["praise"]: said["trained"]},
    )
    report = GateReport(
        outcome=outcome_,
        enforced=chosen.gate == "on",
        rules=(),
        caught=(),
        summary=f"The gate says {outcome_}.",
    )
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, opened.id)
        row = session.get_one(Round, opened.id)
        candidate = session.get_one(Adapter, made.id)
        candidate.round_id = row.id
        verdict = outcome.Verdict(row, chosen, candidate, sorted_, report, compared=tuple(pairs))
        outcome.apply(session, verdict)
        session.commit()
    return of(store, opened.id)


def of(store: Store, round_id: str) -> Round:
    """The round as it is now."""
    with store.session() as session:
        return session.get_one(Round, round_id)


def kept(store: Store, round_id: str) -> list[RoundPair]:
    """The pairs of a round."""
    with store.session() as session:
        return pair_store.of_round(session, round_id)


def prefer(store: Store, round_id: str, *preferred: str, reviewer: str = "rita") -> None:
    """Let a reviewer judge the first pairs: for `candidate`, `incumbent`, `tie` or `both_bad`."""
    rows = kept(store, round_id)
    with store.session(write=True) as session:
        round_ = session.get_one(Round, round_id)
        for row, wish in zip(rows, preferred, strict=False):
            pair_store.decide(
                session, round_, row.id, reviewer=reviewer, choice=side(row, reviewer, wish)
            )
        session.commit()


def side(row: RoundPair, reviewer: str, wish: str) -> Choice:
    """What a reviewer presses who prefers one model's answer."""
    if wish == "tie":
        return "tie"
    if wish == "both_bad":
        return "both_bad"
    left = candidate_left(row.secret, reviewer) == (wish == "candidate")
    return "left" if left else "right"


def look(store: Store, *, in_seconds: float = 0.0, grace_seconds: float = 0.0) -> Round | None:
    """Let the scheduler look at the round that waits."""
    import time

    with store.session(write=True) as session:
        found = pending.look(
            session, now_seconds=time.time() + in_seconds, grace_seconds=grace_seconds
        )
        session.commit()
    return found
