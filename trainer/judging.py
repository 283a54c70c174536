"""Puts candidate and incumbent side by side on what a round kept for judging. No torch of its own.

Only protected items, past material and held-out feedback are looked at; nothing here knows what
is true, only what people and the shop have said.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from feedback.harvest import Word
from trainer import measures
from trainer.anchors import Anchors, held_against
from trainer.answered import Answered
from trainer.evaluate import Scored, Scores, score
from trainer.evidence import Evidence, Kind, Paired, Reading, pair
from trainer.examples import Message, turns
from trainer.gate import GateReport
from trainer.gate import judge as verdict
from trainer.judge_model import UNSET, JudgeModel
from trainer.material import Sorted
from trainer.pairs import Pair, differing
from trainer.replay import Old
from trainer.settings import Plan
from trainer.suites import Item, agrees

NEW = "new corrections"
PAST = "past material"
VERDICTS = "verdicts"
DRIFT_PROMPTS = 96
"""Drift is measured on this many prompts: its mean moves little beyond them, its cost does."""


class Answers(measures.Likelihoods, Protocol):
    """What judging needs of a model that holds both adapters; `trainer.policy.Policy` has it."""

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
        guesses: Sequence[str | None] | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        """Greedy answers, in order; good guesses save time and change nothing."""

    def drift(
        self,
        conversations: Sequence[Sequence[Message]],
        answers: Sequence[str],
        *,
        new: str | None,
        old: str | None,
    ) -> list[float]:
        """KL(new || old) in nats per token, per prompt."""


@dataclass(frozen=True)
class Judged:
    """What the gate said, every item that both models answered, and where their answers differ."""

    report: GateReport
    pairs: tuple[Paired, ...]
    compared: tuple[Pair, ...] = ()


def judge(
    policy: Answers,
    plan: Plan,
    *,
    incumbent: str | None,
    remembered: tuple[Answered, Answered],
    protected: Sequence[Item],
    sorted_: Sorted,
    report: Callable[[int, int], None],
    tags: Mapping[str, Mapping[str, Any]] | None = None,
    readings: Sequence[Reading] | None = None,
    folded: Sequence[Paired] = (),
    anchors: Anchors | None = None,
) -> Judged:
    """Ask both models everything, once each, and let the gate judge.

    Args:
        policy: holds the adapters ``candidate`` and, unless it is the base, `incumbent`.
        plan: margins and limits.
        incumbent: the incumbent's name in the policy; None for the base model.
        remembered: what incumbent and candidate have answered before.
        protected: the items that no round may break.
        sorted_: what the round kept for judging.
        report: told how many answers are done, of how many.
        tags: what clients said of the exchanges that items came from, by item id.
        readings: of held-out pieces of documents, where the round learned from documents.
        folded: corrections that the candidate learned, each judged by a model that did not
            (`trainer.folded`); they count as new ones, and are no pairs of the candidate's.
        anchors: what the items were when they were first asked.
    """
    past = [_past_item(old) for old in sorted_.judging]
    new = [new_item(word) for word in sorted_.held_out]
    parts: tuple[tuple[Kind, Sequence[Item]], ...] = (
        ("protected", protected),
        ("past", past),
        ("new", new),
    )
    items = [item for _, part in parts for item in part]
    total = 2 * len(items)
    judge_model = JudgeModel(plan.judge_url, plan.judge_model)

    def scored(
        adapter: str | None, known: Answered, guesses: Sequence[str | None], done_before: int
    ) -> tuple[Scored, ...]:
        def ask(numbers: Sequence[int]) -> list[str]:
            done_already = done_before + len(items) - len(numbers)
            return policy.answers(
                [items[at].messages for at in numbers],
                adapter=adapter,
                max_new_tokens=plan.max_new_tokens,
                guesses=[guesses[at] for at in numbers],
                report=lambda done, _: report(done_already + done, total),
            )

        return score(
            lambda asked: known.answers(asked, ask), items, judge=judge_model.verdicts
        ).results

    expected = [item.expected if item.verbatim else None for item in items]
    before = scored(incumbent, remembered[0], expected, 0)
    # Most answers stay as they were; those to new corrections are what the round was for.
    guesses = [
        item.expected if item.suite == NEW else was.answer
        for item, was in zip(items, before, strict=True)
    ]
    after = scored("candidate", remembered[1], guesses, len(items))
    pairs: list[Paired] = []
    start = 0
    for kind, part in parts:
        end = start + len(part)
        pairs += pair(
            part, Scores(results=before[start:end]), Scores(results=after[start:end]), kind
        )
        start = end
    own = len(pairs)
    pairs += folded
    pairs = held_against(pairs, anchors or Anchors())
    named = measures.slice_names(pairs, tags or {}, seed=plan.seed)
    pairs = [replace(each, slices=names) for each, names in zip(pairs, named, strict=True)]
    # Nobody asked for a change where the incumbent already says what is wanted.
    untouched = [
        each
        for each in pairs
        if each.kind == "past" and agrees(each.incumbent_answer, each.expected)
    ][:DRIFT_PROMPTS]
    messages = {item.id: item.messages for item in past}
    kl = policy.drift(
        [messages[each.item_id] for each in untouched],
        [each.incumbent_answer for each in untouched],
        new="candidate",
        old=incumbent,
    )
    evidence = Evidence(
        pairs=tuple(pairs),
        kl_nats=tuple(kl),
        untouched_lengths=tuple(
            (len(each.incumbent_answer), len(each.candidate_answer)) for each in untouched
        ),
        new_lengths=tuple(
            (len(each.expected), len(each.candidate_answer)) for each in pairs if each.kind == "new"
        ),
        readings=None if readings is None else tuple(readings),
        unchecked=Counter(
            (item.kind, item.suite)
            for item, was, now in zip(items, before, after, strict=True)
            if not (was.checked and now.checked)
        ),
        unchecked_reason=judge_model.fault or UNSET,
    )
    told = {
        "suites": measures.suites(pairs),
        "held_out": measures.held_out(
            policy, sorted_.held_out, incumbent=incumbent, candidate="candidate"
        ),
        VERDICTS: measures.verdicts(
            policy, sorted_.measured, incumbent=incumbent, candidate="candidate"
        ),
        "kl_nats": sum(kl) / len(kl) if kl else None,
        "slices": measures.by_slice(pairs, tags or {}, seed=plan.seed, named=named),
    }
    return Judged(
        verdict(evidence, plan).model_copy(update={"measures": told}),
        tuple(pairs[:own]),
        _compared(parts, before, after),
    )


def _compared(
    parts: Sequence[tuple[Kind, Sequence[Item]]], before: Sequence[Scored], after: Sequence[Scored]
) -> tuple[Pair, ...]:
    """Where the answers differ, whatever any check says of them."""
    items = [(kind, item) for kind, part in parts for item in part]
    return tuple(
        differing(
            Pair(
                item.kind if kind == "protected" else kind,
                item.suite,
                item.id,
                item.cluster,
                tuple(item.messages),
                was.answer,
                now.answer,
            )
            for (kind, item), was, now in zip(items, before, after, strict=True)
        )
    )


def _past_item(old: Old) -> Item:
    return Item(
        id=old.id,
        suite=PAST,
        messages=old.messages,
        expected=old.target,
        cluster=old.cluster,
        protected=False,
    )


def new_item(word: Word) -> Item:
    return Item(
        id=word.feedback_id,
        suite=NEW,
        messages=turns(word.messages),
        expected=word.correction or word.answer,
        cluster=word.person_id,
        protected=False,
    )
