"""The gate: whether a candidate may replace the incumbent. Pure.

Knows no model, no database and no truth but the evidence. It judges; whoever applies the verdict
decides what becomes of the candidate.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from feedback.errors import Invalid
from trainer import document_rule, rules
from trainer.evidence import Evidence, Kind, Paired
from trainer.rules import Rule
from trainer.settings import Plan

Outcome = Literal["promote", "refuse", "abstain"]
Group = tuple[Rule, list[Paired]]

MOST_CAUGHT = 100
"""A report names so many lost items; the rules count them all."""
_NAMED = 3
_SHOWN_CHARACTERS = 80
_VERBS: dict[Outcome, tuple[str, str]] = {
    "promote": ("promotes", "promote"),
    "refuse": ("refuses", "refuse"),
    "abstain": ("abstains from judging", "abstain from judging"),
}
_NEW = "New corrections"
_PAST = "Past material"
_UNTOUCHED = "Untouched prompts"
_NOBODY = "there is no prompt whose answer nobody asked to change"


class Caught(BaseModel):
    """An item that the incumbent got right and the candidate did not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: str
    suite: str
    kind: Kind
    prompt: str
    expected: str
    incumbent_answer: str
    candidate_answer: str


class GateReport(BaseModel):
    """What the gate found.

    Attributes:
        outcome: `promote`, `refuse` (there is evidence of harm) or `abstain` (too little of either).
        enforced: False where the plan only asks for a report; `outcome` is then what the gate
            would have done.
        rules: every rule with what it measured.
        caught: items that the candidate lost, the most telling first: protected before past
            before new, suites that failed before others.
        summary: the verdict and its reasons in a few sentences.
        measures: what both models reached, for people to read (`trainer.measures`); it decided
            nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome
    enforced: bool
    rules: tuple[Rule, ...]
    caught: tuple[Caught, ...]
    summary: str
    measures: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As it is stored on the round."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls.model_validate(stored)


def judge(evidence: Evidence, plan: Plan) -> GateReport:
    """Judge a candidate.

    Promotes only if every rule holds: no protected suite and no past material is worse by the
    margin, the new corrections are learned, and elsewhere neither the distribution nor the length
    of answers moved. Refuses on evidence of harm. Abstains otherwise, and says how many items
    would tell. A rule with nothing to look at does not stand in the way, except that nothing is
    promoted unless both a gain and the absence of harm were looked for.

    Raises:
        Invalid: an item is in the evidence twice, which would count it as two.
    """
    _once(evidence.pairs)
    groups = _suites(evidence, plan)
    applied = [*(rule for rule, _ in groups), *_drift(evidence, plan)]
    unseen = _unseen(evidence)
    outcomes = {rule.outcome for rule in applied}
    outcome: Outcome = "promote"
    if "refuse" in outcomes:
        outcome = "refuse"
    elif "abstain" in outcomes or unseen:
        outcome = "abstain"
    enforced = plan.gate == "on"
    telling = [rule for rule in applied if rule.outcome == outcome]
    named = [pair for rule, pairs in groups if rule in telling for pair in _lost(pairs)]
    return GateReport(
        outcome=outcome,
        enforced=enforced,
        rules=tuple(applied),
        caught=tuple(_caught(groups)[:MOST_CAUGHT]),
        summary=_summary(outcome, enforced, applied, unseen, named),
    )


def shortened(text: str) -> str:
    """Return a text as a summary quotes it."""
    plain = " ".join(text.split())
    return plain if len(plain) <= _SHOWN_CHARACTERS else plain[:_SHOWN_CHARACTERS] + "…"


def _once(pairs: Sequence[Paired]) -> None:
    counts = Counter((pair.kind, pair.suite, pair.item_id) for pair in pairs)
    twice = next((key for key, count in counts.items() if count > 1), None)
    if twice is not None:
        raise Invalid(
            f"Item {twice[2]!r} of {twice[1]!r} is in the evidence more than once; pair every item "
            "once."
        )


def _suites(evidence: Evidence, plan: Plan) -> list[Group]:
    """Every suite's rule with the items it rests on: protected, past, new."""
    pairs = evidence.pairs
    protected: dict[str, list[Paired]] = {}
    for pair in pairs:
        if pair.kind == "protected":
            protected.setdefault(pair.suite, []).append(pair)
    past = [pair for pair in pairs if pair.kind == "past"]
    new = [pair for pair in pairs if pair.kind == "new"]
    reason = "no protected item was given; name a file in `trainer.protected_file`"
    if evidence.readings is not None:
        # Nobody corrected anything: what a document round must gain is likelier documents.
        gain = document_rule.reads_better(evidence.readings, seed=plan.seed)
    elif new:
        gain = rules.superior("new", _NEW, new, seed=plan.seed)
    else:
        gain = rules.not_checked("superiority", "new", _NEW, "none was held out", margin=0.0)
    return [
        *(
            (_kept(suite, f"Protected suite {suite!r}", protected[suite], plan), protected[suite])
            for suite in sorted(protected)
        ),
        *([] if protected else [(_kept("protected", "Protected suites", [], plan, reason), [])]),
        (_kept("past", _PAST, past, plan, "there is none to ask again"), past),
        (gain, new),
    ]


def _kept(suite: str, label: str, pairs: list[Paired], plan: Plan, reason: str = "") -> Rule:
    margin = plan.margin_points
    if not pairs:
        return rules.not_checked("non-inferiority", suite, label, reason, margin=margin)
    return rules.non_inferior(suite, label, pairs, margin_points=margin, seed=plan.seed)


def _drift(evidence: Evidence, plan: Plan) -> list[Rule]:
    change = plan.max_length_change
    if evidence.kl_nats:
        moved = rules.drift("untouched", _UNTOUCHED, evidence.kl_nats, max_kl_nats=plan.max_kl_nats)
    else:
        moved = rules.not_checked(
            "drift", "untouched", _UNTOUCHED, _NOBODY, margin=plan.max_kl_nats, unit="nats/token"
        )
    found = [moved]
    for suite, label, lengths, baseline, reason in (
        ("untouched", _UNTOUCHED, evidence.untouched_lengths, "the incumbent's", _NOBODY),
        ("new", _NEW, evidence.new_lengths, "the corrections", "none was held out"),
    ):
        if suite == "new" and evidence.readings is not None:
            continue
        found.append(
            rules.same_length(suite, label, lengths, baseline=baseline, max_change=change)
            if lengths
            else rules.not_checked(
                "length", suite, label, reason, margin=100 * change, unit="percent"
            )
        )
    return found


def _unseen(evidence: Evidence) -> list[str]:
    """What nobody looked for, and must be looked for before anything is promoted."""
    kinds = {pair.kind for pair in evidence.pairs}
    unseen = []
    if evidence.readings is not None:
        if not evidence.readings:
            unseen.append("No held-out document could show a gain.")
    elif "new" not in kinds:
        unseen.append("No held-out correction could show a gain.")
    if not kinds & {"protected", "past"}:
        unseen.append("No protected or past item could show harm.")
    return unseen


def _lost(pairs: Sequence[Paired]) -> list[Paired]:
    return sorted((pair for pair in pairs if pair.change < 0), key=lambda pair: pair.item_id)


def _caught(groups: Sequence[Group]) -> list[Caught]:
    """Items that were lost. The groups come protected first; among them, failed ones lead."""
    failed = ("refuse", "abstain", "holds", "not checked")
    order: list[Kind] = ["protected", "past", "new"]
    lost = [(failed.index(rule.outcome), pair) for rule, pairs in groups for pair in _lost(pairs)]
    lost.sort(key=lambda found: (order.index(found[1].kind), found[0]))
    return [
        Caught(
            item_id=pair.item_id,
            suite=pair.suite,
            kind=pair.kind,
            prompt=pair.prompt,
            expected=pair.expected,
            incumbent_answer=pair.incumbent_answer,
            candidate_answer=pair.candidate_answer,
        )
        for _, pair in lost
    ]


def _summary(
    outcome: Outcome,
    enforced: bool,
    applied: Sequence[Rule],
    unseen: Sequence[str],
    named: Sequence[Paired],
) -> str:
    does, would = _VERBS[outcome]
    said = (
        f"The gate {does} the candidate."
        if enforced
        else f"The gate only reports; it would {would} the candidate."
    )
    if outcome == "promote":
        reasons = [rule.sentence for rule in applied if rule.name in ("superiority", "perplexity")]
        checked = sum(rule.outcome == "holds" for rule in applied)
        reasons.append(f"All {checked} rules that could be checked hold.")
    else:
        reasons = [rule.sentence for rule in applied if rule.outcome == outcome]
        reasons += unseen if outcome == "abstain" else []
    unchecked = [rule.sentence for rule in applied if rule.outcome == "not checked"]
    shown = [
        f"{_short(pair.prompt)} (expected {_short(pair.expected)}, now "
        f"{_short(pair.candidate_answer)})"
        for pair in named[:_NAMED]
    ]
    more = f", and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    lost = [f"Lost: {'; '.join(shown)}{more}."] if shown else []
    return " ".join([said, *reasons, *lost, *(unchecked if outcome == "promote" else [])])


def _short(text: str) -> str:
    return f"“{shortened(text)}”"
