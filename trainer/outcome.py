"""What a judged round leaves behind, in one transaction: deployment, memory, receipts. No torch.

A promoted round's demonstrations become past examples. A refused round's feedback goes to review,
lest it spoil every later round; an abstained round's waits for the next. A round that waits for
reviewers leaves the same behind in two steps: what it learned and who holds what now, what follows
once it is settled.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from sqlalchemy import delete
from sqlmodel import Session, col

from feedback import harvest
from feedback.harvest import Fate
from feedback.ids import new_id
from trainer import ledger, pair_rule, pair_store, registry
from trainer import pairs as compared
from trainer.evidence import Paired
from trainer.gate import GateReport
from trainer.judging import NEW, VERDICTS
from trainer.material import Gathered, Sorted
from trainer.models import Adapter, PastExample, Retirement, Round, RoundState
from trainer.pairs import Pair
from trainer.settings import Plan

DEV = "dev"
"""The role of feedback that tuned a round."""


def counts(gathered: Gathered, sorted_: Sorted) -> dict[str, Any]:
    """Return the numbers of the funnel: collected, used, held out, left out."""
    return {
        "feedback": len(gathered.words) + len(gathered.personal) + len(gathered.superseded),
        "used": len(sorted_.roles),
        "held_out": len(sorted_.held_out),
        "measured": len(sorted_.measured),
        **({DEV: len(_tuned(sorted_))} if sorted_.dev else {}),
        "contradicted": len(sorted_.contradicted),
        "superseded": len(sorted_.superseded),
        "unfit": len(sorted_.unfit),
        "personal": len(sorted_.personal),
        "conflicts": [
            {"item": item_id, "feedback": feedback_id} for item_id, feedback_id in sorted_.conflicts
        ],
        "retired": len(sorted_.retired),
        "examples": dict(Counter(f"{row.source} {row.role}" for row in sorted_.training)),
        "noise": harvest.noise(gathered.words),
    }


def planned(sorted_: Sorted) -> dict[str, dict[str, Any]]:
    """Return what becomes of each piece of feedback if the round is promoted, for its manifest."""
    return {
        **{name: {"status": "used", "role": role} for name, role in sorted_.roles.items()},
        **{word.feedback_id: {"status": "held_out", "role": NEW} for word in sorted_.held_out},
        **{name: {"status": "held_out", "role": VERDICTS} for name in _measured(sorted_)},
        **{name: {"status": "held_out", "role": DEV} for name in _tuned(sorted_)},
        **{
            name: {"status": "refused", "role": None}
            for name in (
                *sorted_.contradicted,
                *sorted_.superseded,
                *sorted_.unfit,
                *sorted_.personal,
                *sorted_.silent,
            )
        },
    }


@dataclass(frozen=True)
class Parts:
    """What each piece of feedback was to a round: ids alone, so that it can be kept while it waits.

    Attributes:
        roles: of what trained, as what.
        held_out: what judged.
        tuned: what tuned.
        contradicted: praise, with the reviewed correction that contradicts it.
        personal: what is not learned, with the placeholders of what it holds.
        silent: what makes no example.
        superseded: corrections, with the one that a reviewer accepted later.
        measured: what measured how well verdicts are met.
        unfit: what the base model cannot be shown, with why.
    """

    roles: dict[str, str]
    held_out: tuple[str, ...]
    tuned: tuple[str, ...]
    contradicted: dict[str, str]
    personal: dict[str, tuple[str, ...]]
    silent: tuple[str, ...]
    superseded: dict[str, str] = field(default_factory=dict)
    measured: tuple[str, ...] = ()
    unfit: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, sorted_: Sorted) -> Self:
        """The parts in what a round worked with."""
        return cls(
            roles=sorted_.roles,
            held_out=tuple(word.feedback_id for word in sorted_.held_out),
            tuned=tuple(_tuned(sorted_)),
            contradicted=sorted_.contradicted,
            personal=sorted_.personal,
            silent=sorted_.silent,
            superseded=sorted_.superseded,
            measured=tuple(_measured(sorted_)),
            unfit=sorted_.unfit,
        )

    @classmethod
    def stored(cls, kept: Mapping[str, Any]) -> Self:
        """The parts as a waiting round keeps them; one that waits since an update may lack some."""
        return cls(**{name: kept[name] for name in cls.__dataclass_fields__ if name in kept})

    @property
    def ids(self) -> frozenset[str]:
        """Of every piece of feedback."""
        return frozenset(name for each in asdict(self).values() for name in each)


@dataclass(frozen=True)
class Verdict:
    """A judged round: what it made, what it worked with, what the gate said, and of what."""

    row: Round
    plan: Plan
    candidate: Adapter
    sorted: Sorted
    report: GateReport
    pairs: tuple[Paired, ...] = ()
    compared: tuple[Pair, ...] = ()

    @property
    def state(self) -> RoundState:
        """The state in which the round ends."""
        if self.report.outcome == "promote" or self.plan.gate == "report-only":
            return "promoted"
        return "refused" if self.report.outcome == "refuse" else "abstained"


def apply(session: Session, verdict: Verdict) -> RoundState:
    """Write the verdict and everything that follows from it. The caller guards and commits.

    Returns:
        The state in which the round ended, or ``pending`` where it waits for reviewers.
    """
    row, candidate, plan, state = verdict.row, verdict.candidate, verdict.plan, verdict.state
    report, message = verdict.report, verdict.report.summary
    if state == "promoted" and registry.live_id(session) != row.incumbent_id:
        # Somebody rolled back or promoted by hand meanwhile: the candidate descends from what is
        # no longer live, and was compared with it.
        state = "abstained"
        message = "Another adapter went live while this round ran; its feedback waits for the next."
    session.add(candidate)
    row.candidate_id = candidate.id
    session.flush()
    ledger.write(session, row, candidate, verdict.pairs)
    chosen = (
        compared.choose(verdict.compared, most=plan.gate_pairs, seed=plan.seed)
        if plan.gate_reviewed_pairs != "off"
        else []
    )
    pair_store.write(session, row, chosen)
    if state == "promoted":
        _remember(session, row, verdict.sorted)
        if chosen and pair_rule.is_required(report, plan):
            return _hold(session, verdict, len(chosen))
    parts = Parts.of(verdict.sorted)
    return _conclude(session, row, plan, state=state, report=report, parts=parts, message=message)


def settle(
    session: Session, row: Round, *, state: RoundState, report: GateReport, message: str
) -> RoundState:
    """End a round that waited. The caller holds its row, and commits.

    Args:
        session: a writing session.
        row: a pending round.
        state: that it ends in.
        report: what the gate says now.
        message: why, for people.

    Returns:
        The state in which the round ended.
    """
    assert row.pending is not None
    parts = Parts.stored(row.pending)
    if state != "promoted":
        # Rows that count only once their round is in the live adapter's line of descent.
        session.execute(delete(Retirement).where(col(Retirement.round_id) == row.id))
        session.execute(delete(PastExample).where(col(PastExample.round_id) == row.id))
    row.pending = None
    plan = Plan.model_validate(row.plan)
    return _conclude(session, row, plan, state=state, report=report, parts=parts, message=message)


def _hold(session: Session, verdict: Verdict, pairs: int) -> RoundState:
    """Let a round wait. What it learned is written down, and counts for nothing before it is live."""
    row, plan = verdict.row, verdict.plan
    rule = pair_rule.awaited(
        compared.still_needed(0, pairs, plan.gate_pairs_needed),
        margin_points=plan.gate_pairs_margin_points,
    )
    report = pair_rule.waiting(verdict.report, rule, row.id)
    verdict.candidate.state = "candidate"
    session.add(verdict.candidate)
    row.report, row.message = report.to_json(), report.summary
    row.pending = {**asdict(Parts.of(verdict.sorted)), "summary": verdict.report.summary}
    row.state, row.open_slot, row.progress = "pending", None, 1.0
    session.add(row)
    return "pending"


def _conclude(
    session: Session,
    row: Round,
    plan: Plan,
    *,
    state: RoundState,
    report: GateReport,
    parts: Parts,
    message: str,
) -> RoundState:
    assert row.candidate_id is not None
    candidate = registry.get(session, row.candidate_id)
    deployed = registry.live(session)
    served = deployed is not None and candidate.id in (deployed.live_id, deployed.canary_id)
    if not served:
        candidate.state = "candidate" if state == "promoted" else "rejected"
    session.add(candidate)
    session.flush()
    if state == "promoted":
        if not served:
            registry.promote(
                session,
                candidate.id,
                actor=f"round {row.id}",
                reason=report.summary,
                canary_share=plan.canary_share,
            )
        ledger.replayed(session, row)
    harvest.finish(session, row.id, _fates(row.id, candidate.id, parts, state))
    row.report = report.to_json()
    row.state, row.open_slot = state, None
    row.message = message
    row.progress = 1.0
    row.ended_at = time.time()
    session.add(row)
    return state


def _fates(round_id: str, adapter_id: str, parts: Parts, state: RoundState) -> dict[str, Fate]:
    refused = Fate("review", f"The gate refused round {round_id}; a reviewer looks again.")
    unsure = Fate("waiting", f"Round {round_id} could not tell yet; waits for more.")
    fates: dict[str, Fate] = {}
    for feedback_id, role in parts.roles.items():
        learned = Fate("used", f"Adapter {adapter_id} learned it as {role}.", adapter_id, role)
        fates[feedback_id] = {"promoted": learned, "refused": refused}.get(state, unsure)
    judged = Fate("held_out", f"It judged adapter {adapter_id} ({NEW}).", adapter_id, NEW)
    for feedback_id in parts.held_out:
        fates[feedback_id] = {"promoted": judged, "refused": refused}.get(state, unsure)
    told = f"It was kept to measure adapter {adapter_id} ({VERDICTS})."
    measured = Fate("held_out", told, adapter_id, VERDICTS)
    for feedback_id in parts.measured:
        fates[feedback_id] = {"promoted": measured, "refused": refused}.get(state, unsure)
    tuned = Fate("held_out", f"It tuned adapter {adapter_id} ({DEV}).", adapter_id, DEV)
    for feedback_id in parts.tuned:
        fates[feedback_id] = {"promoted": tuned, "refused": refused}.get(state, unsure)
    for feedback_id, other_id in parts.contradicted.items():
        fates[feedback_id] = Fate(
            "refused", f"A reviewed correction ({other_id}) says that this answer was wrong."
        )
    for feedback_id, other_id in parts.superseded.items():
        fates[feedback_id] = Fate(
            "refused",
            f"Superseded: a reviewer has since accepted another answer to this question ({other_id}).",
        )
    for feedback_id, why in parts.unfit.items():
        fates[feedback_id] = Fate("refused", f"The base model cannot learn it. {why}")
    for feedback_id, kinds in parts.personal.items():
        named = ", ".join(f"<{kind}>" for kind in kinds)
        fates[feedback_id] = Fate(
            "refused",
            f"Its answer holds personal data ({named}), which no model is taught to say. What is "
            "public belongs in feedback.redaction_keep.",
        )
    silent = Fate(
        "refused",
        "Nothing is left to learn from it: it compares answers that are nearly alike, or a "
        "correction of the same answer says it better.",
    )
    fates.update(dict.fromkeys(parts.silent, silent if state == "promoted" else unsure))
    return fates


def _tuned(sorted_: Sorted) -> list[str]:
    """Ids of the feedback that neither trained nor judged, each once."""
    return list(dict.fromkeys(name for each in sorted_.dev for name in each.feedback_ids))


def _measured(sorted_: Sorted) -> list[str]:
    """Ids of the feedback that neither trained nor judged, and was measured by."""
    return [name for word in sorted_.measured for name in (word.feedback_id, *word.also)]


def _remember(session: Session, row: Round, sorted_: Sorted) -> None:
    now = time.time()
    # What tuned the round judged nothing: later rounds may learn it.
    for example in (*sorted_.training, *sorted_.dev):
        if example.source == "new" and example.kind == "demonstration" and not example.made:
            session.add(
                PastExample(
                    id=new_id("pst"),
                    round_id=row.id,
                    split="train",
                    messages=[{**message} for message in example.messages],
                    target=example.target,
                    feedback_ids=list(example.feedback_ids),
                    cluster=example.cluster,
                    created_at=now,
                )
            )
    for word in sorted_.held_out:
        session.add(
            PastExample(
                id=new_id("pst"),
                round_id=row.id,
                split="judge",
                messages=[{**message} for message in word.messages],
                target=word.correction or word.answer,
                feedback_ids=[word.feedback_id],
                cluster=word.person_id,
                created_at=now,
            )
        )
    for old_id, word in sorted_.retired.items():
        session.add(
            Retirement(past_id=old_id, round_id=row.id, new_target=word.correction or word.answer)
        )
