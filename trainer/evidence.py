"""Evidence: what the gate judges, two models' answers to the same questions side by side.

Knows no statistics and no verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from feedback.errors import Invalid
from trainer.evaluate import Scores
from trainer.suites import Item
from trainer.sycophancy import flatters, gave_in

Kind = Literal["protected", "safety", "honeypot", "sycophancy", "past", "new"]
"""What a suite stands for: what the shop guards (see `trainer.suites.SuiteKind`), what was learned
earlier, what is to be learned."""


@dataclass(frozen=True)
class Paired:
    """One item, as the incumbent and the candidate answered it.

    Attributes:
        item_id: names the item within its suite.
        suite: the suite that it counts for.
        cluster: items that stand or fall together share it: a person, a fact in five phrasings.
        incumbent_right: whether the incumbent's answer passed.
        candidate_right: whether the candidate's did.
        kind: what the suite stands for.
        prompt: the question, for whoever reads the report.
        incumbent_answer: what the incumbent said.
        candidate_answer: what the candidate said.
        expected: what a good answer is.
        margin_points: how far the suite may fall, in points, where not as the plan says; the
            strictest of a suite's items counts.
        verbatim: whether `expected` is the answer itself, and not something that it must hold.
        labelled: whether the suite says that `expected` is a label.
        slices: names of the slices that the item lies in: its topic, language, tags.
        incumbent_gave_in: whether the incumbent's answer flatters or, to an item of kind
            sycophancy, says what the person wished to hear.
        candidate_gave_in: whether the candidate's does.
        anchor_right: whether the first adapter on record answered it rightly (without giving in,
            where the suite is about candour); None where there is none on record.
    """

    item_id: str
    suite: str
    cluster: str
    incumbent_right: bool
    candidate_right: bool
    kind: Kind = "protected"
    prompt: str = ""
    incumbent_answer: str = ""
    candidate_answer: str = ""
    expected: str = ""
    margin_points: float | None = None
    verbatim: bool = True
    labelled: bool = False
    slices: tuple[str, ...] = ()
    incumbent_gave_in: bool = False
    candidate_gave_in: bool = False
    anchor_right: bool | None = None

    @property
    def change(self) -> int:
        """+1 where the candidate gained the item, −1 where it lost it, 0 where both are alike."""
        return int(self.candidate_right) - int(self.incumbent_right)

    @property
    def harmed(self) -> bool:
        """Whether the candidate lost the item or, in a suite about candour, gave in anew."""
        anew = self.candidate_gave_in and not self.incumbent_gave_in
        return self.change < 0 or (self.kind == "sycophancy" and anew)


@dataclass(frozen=True)
class Reading:
    """How likely both models find a held-out piece of a document.

    Attributes:
        cluster: pieces of one document or section share it.
        tokens: of the piece.
        incumbent_nats: mean negative log-likelihood per token under the incumbent.
        candidate_nats: the same under the candidate.
    """

    cluster: str
    tokens: int
    incumbent_nats: float
    candidate_nats: float


@dataclass(frozen=True)
class Evidence:
    """Everything that a round's verdict rests on.

    Attributes:
        pairs: every item that both models answered.
        kl_nats: drift in nats per token, for each prompt whose answer nobody asked to change.
        untouched_lengths: (incumbent's, candidate's) answer length for each of those prompts.
        new_lengths: (correction's, candidate's answer's) length for each held-out correction.
        readings: of held-out pieces of documents, in a round that learns from documents; None in
            one that learns from feedback.
        unchecked: by (kind, suite), how many items only a judge model could have checked.
        unchecked_reason: why it did not.

    Lengths may be in tokens or characters, the same within a list.
    """

    pairs: tuple[Paired, ...] = ()
    kl_nats: tuple[float, ...] = ()
    untouched_lengths: tuple[tuple[int, int], ...] = ()
    new_lengths: tuple[tuple[int, int], ...] = ()
    readings: tuple[Reading, ...] | None = None
    unchecked: Mapping[tuple[Kind, str], int] = field(default_factory=dict)
    unchecked_reason: str = ""


def pair(items: Sequence[Item], incumbent: Scores, candidate: Scores, kind: Kind) -> list[Paired]:
    """Put two models' answers to the same items side by side.

    What could not be checked of either is left out. Items of the shop's own suites (`protected`)
    are of the kind that their suite is.

    Raises:
        Invalid: one of the scores is not of these items, in this order.
    """
    asked = [item.id for item in items]
    for name, scores in (("incumbent", incumbent), ("candidate", candidate)):
        if [result.item_id for result in scores.results] != asked:
            raise Invalid(f"The {name}'s scores are of other items; score both on the same list.")
    return [
        Paired(
            item_id=item.id,
            suite=item.suite,
            cluster=item.cluster,
            incumbent_right=before.right,
            candidate_right=after.right,
            kind=item.kind if kind == "protected" else kind,
            prompt=item.messages[-1]["content"],
            incumbent_answer=before.answer,
            candidate_answer=after.answer,
            expected=item.expected,
            margin_points=item.margin_points,
            verbatim=item.verbatim,
            labelled=item.check == "label",
            incumbent_gave_in=_gave_in(item, before.answer, before.right),
            candidate_gave_in=_gave_in(item, after.answer, after.right),
        )
        for item, before, after in zip(items, incumbent.results, candidate.results, strict=True)
        if before.checked and after.checked
    ]


def _gave_in(item: Item, answer: str, right: bool) -> bool:
    return gave_in(item, answer, right) if item.kind == "sycophancy" else flatters(answer)
