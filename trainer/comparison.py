"""Which base model to choose: the candidates' scores side by side, with how sure that is. Pure.

Knows no model and no database: `trainer.trial` measures, this ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trainer.template import SystemTurns

RESAMPLES = 10_000
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """How a tokenizer, a chat template and a context suit what people say here.

    Attributes:
        tokens_per_word: of the deployment's prompts and answers; fewer is cheaper.
        unknown_share: tokens that stand for "unknown"; 0 for byte-level tokenizers.
        round_trips: share of texts that come back from their tokens as they were.
        context_tokens: the longest sequence, or None where the model sets no limit.
        fitting_share: share of the conversations that the chat template takes and that leave room
            for an answer.
        system_turns: where the chat template writes what the system says.
    """

    tokens_per_word: float
    unknown_share: float
    round_trips: float
    context_tokens: int | None
    fitting_share: float
    system_turns: SystemTurns = "own"


@dataclass(frozen=True)
class Marks:
    """Right and wrong on the same items for every candidate, in the same order.

    Attributes:
        right: per held-out item, after the trial round.
        kept: per protected item, +1 where it was right before the trial and still is, -1 where it
            was and is not, 0 where it was wrong before.
    """

    right: tuple[bool, ...]
    kept: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measured:
    """One candidate's figures.

    Attributes:
        model: as it was named.
        error: why it cannot be used; nothing else is known then.
        parameters: of the model.
        fit: of tokenizer and context.
        baseline: share of held-out items right as it comes.
        baseline_f1: mean token F1 as it comes.
        few_shot: share right with a few answered questions before each.
        perplexity: of the right answers, per token of this model.
        bits_per_byte: of the right answers; comparable between models.
        answer_seconds: per answer, many at once, on this machine.
        answer_tokens: mean length of an answer.
        trial: share of held-out items right after one trial round; None without one.
        forgotten: share of the protected items that it answered rightly before and not after.
        trial_seconds: of training, all folds together.
        marks: item by item.
    """

    model: str
    error: str | None = None
    parameters: int = 0
    fit: Fit | None = None
    baseline: float = 0.0
    baseline_f1: float = 0.0
    few_shot: float = 0.0
    perplexity: float = 0.0
    bits_per_byte: float = 0.0
    answer_seconds: float = 0.0
    answer_tokens: float = 0.0
    trial: float | None = None
    forgotten: float | None = None
    trial_seconds: float = 0.0
    marks: Marks = field(default_factory=lambda: Marks(()))

    @property
    def score(self) -> float:
        """What it is ranked by: right after the trial less what it forgot; else its baseline."""
        if self.trial is None:
            return self.baseline
        return self.trial - (self.forgotten or 0.0)


@dataclass(frozen=True)
class Standing:
    """A candidate's place.

    Attributes:
        measured: its figures.
        best_chance: share of resampled deployments in which it came first; ties are shared.
        behind: how far its score lies behind the best one's, as a share.
        behind_low: lower 95% bound of that.
        behind_high: upper 95% bound.
    """

    measured: Measured
    best_chance: float
    behind: float
    behind_low: float
    behind_high: float

    @property
    def tied(self) -> bool:
        """Whether the data cannot tell it from the best."""
        return self.behind_low <= 0


@dataclass(frozen=True)
class Recommendation:
    """What to choose, and why.

    Attributes:
        model: the one to choose, or None where none can be used.
        sure: whether it is the best beyond chance.
        reason: in a sentence or two.
        standings: all that could be measured, the best first.
    """

    model: str | None
    sure: bool
    reason: str
    standings: tuple[Standing, ...]


def recommend(
    candidates: Sequence[Measured],
    clusters: Sequence[str],
    protected_clusters: Sequence[str],
    *,
    seed: int = 0,
) -> Recommendation:
    """Rank candidates that answered the same items, and recommend one.

    Where several cannot be told from the best, the one whose answers cost least is recommended.

    Args:
        candidates: with their marks; those with an error are left out.
        clusters: of the held-out items, in the order of the marks.
        protected_clusters: of the protected items.
        seed: of the resampling.

    Raises:
        ValueError: marks and clusters differ in number.
    """
    usable = [each for each in candidates if each.error is None]
    if not usable:
        return Recommendation(None, False, "None of the models can be used here.", ())
    ranked = standings(usable, clusters, protected_clusters, seed=seed)
    return _advice(ranked, items=len(clusters))


def standings(
    candidates: Sequence[Measured],
    clusters: Sequence[str],
    protected_clusters: Sequence[str],
    *,
    seed: int = 0,
) -> list[Standing]:
    """Rank candidates by their scores, the best first, with how far chance could move them.

    People are resampled, and the protected items' clusters (Efron 1979, "Bootstrap methods:
    another look at the jackknife"; by cluster, since one person's items stand or fall together). A
    resample that several lead alike counts in parts for each.

    Args:
        candidates: with their marks; at least one.
        clusters: of the held-out items, in the order of the marks.
        protected_clusters: of the protected items.
        seed: of the resampling.

    Raises:
        ValueError: marks and clusters differ in number.
    """
    draws = _Draws(clusters, protected_clusters, seed)
    scores = np.stack([draws.scores(each) for each in candidates])
    leads = scores == scores.max(axis=0)
    chances = (leads / leads.sum(axis=0)).mean(axis=1)
    ranked = sorted(
        range(len(candidates)), key=lambda at: (-candidates[at].score, candidates[at].model)
    )
    best = ranked[0]
    found = []
    for at in ranked:
        behind = scores[best] - scores[at]
        low, high = np.quantile(behind, [0.025, 0.975])
        found.append(
            Standing(
                candidates[at],
                best_chance=float(chances[at]),
                behind=candidates[best].score - candidates[at].score,
                behind_low=float(low),
                behind_high=float(high),
            )
        )
    return found


def _advice(standings: list[Standing], *, items: int) -> Recommendation:
    first, *rest = standings
    tied = [each for each in rest if each.tied]
    if not rest:
        return Recommendation(
            first.measured.model, True, "It is the only one that can be used.", (first,)
        )
    if not tied:
        second = rest[0]
        return Recommendation(
            first.measured.model,
            True,
            f"{first.measured.model} scores {points(second.behind)} more than the next, "
            f"{second.measured.model} (95%: {points(second.behind_low)} to "
            f"{points(second.behind_high)}, {items} items), and came first in "
            f"{first.best_chance:.0%} of resamples.",
            tuple(standings),
        )
    alike = [first, *tied]
    cheapest = min(alike, key=lambda each: each.measured.answer_seconds)
    names = ", ".join(each.measured.model for each in alike)
    return Recommendation(
        cheapest.measured.model,
        False,
        f"{items} items cannot tell {names} apart (the best scored {points(tied[-1].behind)} more "
        f"than the last of them, 95%: {points(tied[-1].behind_low)} to "
        f"{points(tied[-1].behind_high)}); of these, {cheapest.measured.model} answers at least "
        "cost. More feedback would tell more.",
        tuple(standings),
    )


def points(share: float) -> str:
    """A difference of shares, in words."""
    return f"{100 * share:+.1f} points" if share < 0 else f"{100 * share:.1f} points"


class _Draws:
    """The same resampled people and protected clusters for every candidate."""

    def __init__(self, clusters: Sequence[str], protected: Sequence[str], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._items = _numbered(clusters)
        self._protected = _numbered(protected)
        self._people = _resampled(rng, self._items)
        self._keepers = _resampled(rng, self._protected)

    def scores(self, measured: Measured) -> Floats:
        """(RESAMPLES,) the candidate's score in each resample."""
        right = np.asarray(measured.marks.right, dtype=np.float64)
        if len(right) != len(self._items):
            raise ValueError("recommend needs one mark for every item.")
        found = _ratio(self._people, self._items, right, np.ones_like(right))
        if measured.trial is None or not measured.marks.kept:
            return found
        kept = np.asarray(measured.marks.kept, dtype=np.float64)
        if len(kept) != len(self._protected):
            raise ValueError("recommend needs one mark for every protected item.")
        lost = _ratio(
            self._keepers,
            self._protected,
            np.where(kept < 0, 1.0, 0.0),
            np.where(kept != 0, 1.0, 0.0),
        )
        return found - lost


def _numbered(clusters: Sequence[str]) -> npt.NDArray[np.int64]:
    number = {name: at for at, name in enumerate(dict.fromkeys(clusters))}
    return np.asarray([number[name] for name in clusters], dtype=np.int64)


def _resampled(rng: np.random.Generator, numbered: npt.NDArray[np.int64]) -> Floats:
    """(RESAMPLES, clusters) how often each cluster was drawn."""
    count = int(numbered.max()) + 1 if len(numbered) else 0
    if not count:
        return np.zeros((RESAMPLES, 0))
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def _ratio(
    draws: Floats, numbered: npt.NDArray[np.int64], counted: Floats, among: Floats
) -> Floats:
    """Σ counted ÷ Σ among of each resample; 0 where there is nothing to count among."""
    size = draws.shape[1]
    above = draws @ np.bincount(numbered, weights=counted, minlength=size)
    below = draws @ np.bincount(numbered, weights=among, minlength=size)
    shares: Floats = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return shares
