"""What a judged round leaves behind, in one transaction: deployment, memory, receipts. No torch.

A promoted round's demonstrations become past examples. A refused round's feedback goes to review,
lest it spoil every later round; an abstained round's waits for the next.
"""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from feedback import harvest
from feedback.harvest import Fate
from feedback.ids import new_id
from trainer import ledger, registry
from trainer.evidence import Paired
from trainer.gate import GateReport
from trainer.judging import NEW
from trainer.material import Gathered, Sorted
from trainer.models import Adapter, PastExample, Retirement, Round, RoundState
from trainer.settings import Plan

DEV = "dev"
"""The role of feedback that tuned a round."""


def counts(gathered: Gathered, sorted_: Sorted) -> dict[str, Any]:
    """Return the numbers of the funnel: collected, used, held out, left out."""
    return {
        "feedback": len(gathered.words),
        "used": len(sorted_.roles),
        "held_out": len(sorted_.held_out),
        **({DEV: len(_tuned(sorted_))} if sorted_.dev else {}),
        "contradicted": len(sorted_.contradicted),
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
        **{name: {"status": "held_out", "role": DEV} for name in _tuned(sorted_)},
        **{
            name: {"status": "refused", "role": None}
            for name in (*sorted_.contradicted, *sorted_.personal, *sorted_.silent)
        },
    }


@dataclass(frozen=True)
class Verdict:
    """A judged round: what it made, what it worked with, what the gate said, and of what."""

    row: Round
    plan: Plan
    candidate: Adapter
    sorted: Sorted
    report: GateReport
    pairs: tuple[Paired, ...] = ()

    @property
    def state(self) -> RoundState:
        """The state in which the round ends."""
        if self.report.outcome == "promote" or self.plan.gate == "report-only":
            return "promoted"
        return "refused" if self.report.outcome == "refuse" else "abstained"


def apply(session: Session, verdict: Verdict) -> RoundState:
    """Write the verdict and everything that follows from it. The caller guards and commits.

    Returns:
        The state in which the round ended.
    """
    row, candidate, state = verdict.row, verdict.candidate, verdict.state
    message = verdict.report.summary
    if state == "promoted" and registry.live_id(session) != row.incumbent_id:
        # Somebody rolled back or promoted by hand meanwhile: the candidate descends from what is
        # no longer live, and was compared with it.
        state = "abstained"
        message = "Another adapter went live while this round ran; its feedback waits for the next."
    candidate.state = "candidate" if state == "promoted" else "rejected"
    session.add(candidate)
    session.flush()
    if state == "promoted":
        registry.promote(
            session,
            candidate.id,
            actor=f"round {row.id}",
            reason=verdict.report.summary,
            canary_share=verdict.plan.canary_share,
        )
        _remember(session, row, verdict.sorted)
        ledger.replayed(session, row)
    ledger.write(session, row, candidate, verdict.pairs)
    harvest.finish(session, row.id, _fates(verdict, state))
    row.candidate_id = candidate.id
    row.report = verdict.report.to_json()
    row.state, row.open_slot = state, None
    row.message = message
    row.progress = 1.0
    row.ended_at = time.time()
    session.add(row)
    return state


def _fates(verdict: Verdict, state: RoundState) -> dict[str, Fate]:
    round_id, adapter_id = verdict.row.id, verdict.candidate.id
    refused = Fate("review", f"The gate refused round {round_id}; a reviewer looks again.")
    unsure = Fate("waiting", f"Round {round_id} could not tell yet; waits for more.")
    fates: dict[str, Fate] = {}
    for feedback_id, role in verdict.sorted.roles.items():
        learned = Fate("used", f"Adapter {adapter_id} learned it as {role}.", adapter_id, role)
        fates[feedback_id] = {"promoted": learned, "refused": refused}.get(state, unsure)
    judged = Fate("held_out", f"It judged adapter {adapter_id} ({NEW}).", adapter_id, NEW)
    for word in verdict.sorted.held_out:
        fates[word.feedback_id] = {"promoted": judged, "refused": refused}.get(state, unsure)
    tuned = Fate("held_out", f"It tuned adapter {adapter_id} ({DEV}).", adapter_id, DEV)
    for feedback_id in _tuned(verdict.sorted):
        fates[feedback_id] = {"promoted": tuned, "refused": refused}.get(state, unsure)
    for feedback_id, other_id in verdict.sorted.contradicted.items():
        fates[feedback_id] = Fate(
            "refused", f"A reviewed correction ({other_id}) says that this answer was wrong."
        )
    for feedback_id, kinds in verdict.sorted.personal.items():
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
    fates.update(dict.fromkeys(verdict.sorted.silent, silent if state == "promoted" else unsure))
    return fates


def _tuned(sorted_: Sorted) -> list[str]:
    """Ids of the feedback that neither trained nor judged, each once."""
    return list(dict.fromkeys(name for each in sorted_.dev for name in each.feedback_ids))


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
