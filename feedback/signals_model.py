"""What signals mean: a calibrated model of satisfaction, and how far it can be trusted.

Pure: knows no database and no receipts. scikit-learn is loaded once there is enough to learn from.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feedback.calibration import Bin, auc, auc_error, bins, brier, expected_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Signals = Mapping[str, float | None]

FEWEST_PAIRS = 50
FEWEST_OF_EACH = 10
"""So many satisfied and so many dissatisfied people's answers at least."""
FEWEST_PEOPLE = 5
FOLDS = 5
MOST_NAMES = 40
"""A client may make up names of signals; only the commonest are looked at."""
FEWEST_SEEN = 5
"""What was seen, or not seen, less often says nothing."""
PENALTY = 1.0
"""Inverse strength of the ridge penalty on standardised columns (scikit-learn's `C`)."""
CONFIDENCE_Z = 1.645
"""One-sided 95%."""


@dataclass(frozen=True)
class Worth:
    """What one signal says.

    Attributes:
        name: of the signal; ``log:`` marks what was read from the log.
        seen: pairs with it.
        satisfied_with: share of satisfied people where it was seen.
        satisfied_without: … and where it was not; None where it always was.
        auc_lost: by how much the AUC falls without it.
    """

    name: str
    seen: int
    satisfied_with: float | None
    satisfied_without: float | None
    auc_lost: float


@dataclass(frozen=True)
class Learnt:
    """What was learned, as measured on people that the model had not seen.

    Attributes:
        pairs: answers with both a vote and signals.
        people: accounts that they come from.
        satisfied: how many of the pairs were liked.
        usable: whether weak labels may be made of it.
        reason: why it is not usable, in a sentence; empty where it is.
        base_rate: share of satisfied people, as it is weighed.
        auc: probability that a satisfied person's signals look more satisfied (0.5 is chance).
        auc_low: 95% confident that the truth is above this.
        brier: mean squared error of the probabilities.
        brier_base: the same of always saying the base rate.
        calibration_error: expected calibration error over bins of equal size.
        bins: the reliability diagram.
        signals: per signal what it is worth, if asked for.
    """

    pairs: int
    people: int
    satisfied: int
    usable: bool
    reason: str
    base_rate: float | None = None
    auc: float | None = None
    auc_low: float | None = None
    brier: float | None = None
    brier_base: float | None = None
    calibration_error: float | None = None
    bins: tuple[Bin, ...] = ()
    signals: tuple[Worth, ...] = ()
    _fitted: "_Fitted | None" = field(default=None, repr=False)

    def predict(self, signals: Sequence[Signals]) -> list[float]:
        """Return the probability of satisfaction for each set of signals.

        Raises:
            ValueError: nothing was learned.
        """
        if self._fitted is None:
            raise ValueError(f"nothing was learned: {self.reason}")
        return [float(each) for each in self._fitted.predict(signals)]

    def tells(self, satisfied: float) -> bool:
        """Whether a probability says more than the base rate does, and in the same direction.

        On a chatbot that nine of ten like, signals that say seven of ten are no praise, and no
        blame either.
        """
        base_rate = 0.5 if self.base_rate is None else self.base_rate
        return satisfied > max(0.5, base_rate) or satisfied < min(0.5, base_rate)


def learn(
    signals: Sequence[Signals],
    satisfied: Sequence[bool],
    people: Sequence[str],
    weights: Sequence[float],
    *,
    per_signal: bool = False,
) -> Learnt:
    """Learn from pairs of signals and votes, and measure it on people held out.

    Logistic regression (a calibrated model by its loss) with a ridge penalty on columns per signal:
    whether it was seen, and the logarithm of its size with its square. Measured by cross-fitting:
    five folds that split no person, each predicted by a model of the others. It is not usable with
    too few pairs, nor where it cannot be told from chance.

    Args:
        signals: per pair, what was observed.
        satisfied: per pair, what the person said.
        people: per pair, whose it is; pairs of one person stay in one fold.
        weights: per pair, how much it counts, from 0 to 1.
        per_signal: also measure what is lost without each signal.
    """
    counted = [at for at, weight in enumerate(weights) if weight > 0]
    signals = [signals[at] for at in counted]
    satisfied = [satisfied[at] for at in counted]
    people = [people[at] for at in counted]
    liked = sum(satisfied)
    about: dict[str, Any] = {
        "pairs": len(signals),
        "people": len(set(people)),
        "satisfied": liked,
    }
    lacking = _lacking(len(signals), liked, len(set(people)))
    if lacking:
        return Learnt(**about, usable=False, reason=lacking)

    import numpy as np

    truth = np.array(satisfied, dtype=np.float64)
    weight = np.array([weights[at] for at in counted], dtype=np.float64)
    weight *= len(weight) / weight.sum()
    folds = _folds(truth, people)
    predicted = _cross_fitted(signals, truth, weight, folds)
    clusters = np.unique(people, return_inverse=True)[1]
    area = auc(truth, predicted)
    low = area - CONFIDENCE_Z * auc_error(truth, predicted, clusters)
    base_rate = float((truth * weight).sum() / weight.sum())
    squared, squared_base = brier(truth, predicted), brier(truth, np.full(len(truth), truth.mean()))
    reason = ""
    if low <= 0.5 or squared >= squared_base:
        reason = (
            f"On people held out, the model cannot be told from chance (AUC {area:.2f}, at least "
            f"{low:.2f} with 95% confidence), so its labels are not used."
        )
    worth = []
    if per_signal:
        for name in _Columns(signals).names:
            without = [{key: each[key] for key in each if key != name} for each in signals]
            lost = area - auc(truth, _cross_fitted(without, truth, weight, folds))
            worth.append(_worth(name, signals, truth, auc_lost=lost))
    return Learnt(
        **about,
        usable=not reason,
        reason=reason,
        base_rate=base_rate,
        auc=area,
        auc_low=low,
        brier=squared,
        brier_base=squared_base,
        calibration_error=expected_error(truth, predicted),
        bins=tuple(bins(truth, predicted)),
        signals=tuple(sorted(worth, key=lambda each: -each.auc_lost)),
        _fitted=_Fitted(signals, truth, weight),
    )


def _lacking(pairs: int, liked: int, people: int) -> str:
    needed = (
        (FEWEST_PAIRS, pairs, "answers with both a vote and signals"),
        (FEWEST_OF_EACH, liked, "of them liked"),
        (FEWEST_OF_EACH, pairs - liked, "of them disliked"),
        (FEWEST_PEOPLE, people, "people behind them"),
    )
    short = [f"{have:,} of {need} {what}" for need, have, what in needed if have < need]
    return f"Not enough to learn from yet: {', '.join(short)}." if short else ""


def _folds(truth: "Floats", people: Sequence[str]) -> "list[tuple[Any, Any]]":
    """Splits without a person on both sides; (training, held out) positions."""
    from sklearn.model_selection import GroupKFold

    splitter = GroupKFold(n_splits=FOLDS, shuffle=True, random_state=0)
    return list(splitter.split(truth, truth, people))


def _cross_fitted(
    signals: Sequence[Signals],
    truth: "Floats",
    weight: "Floats",
    folds: "Sequence[tuple[Any, Any]]",
) -> "Floats":
    """Every pair's probability, from a model that never saw the person."""
    import numpy as np

    predicted = np.full(len(truth), truth.mean())
    for training, held_out in folds:
        if len(set(truth[training])) < 2:
            continue  # all of one opinion: nothing to learn, so the base rate stands
        fitted = _Fitted([signals[at] for at in training], truth[training], weight[training])
        predicted[held_out] = fitted.predict([signals[at] for at in held_out])
    return predicted


def _worth(name: str, signals: Sequence[Signals], truth: "Floats", *, auc_lost: float) -> Worth:
    import numpy as np

    seen = np.array([name in each for each in signals])
    return Worth(
        name=name,
        seen=int(seen.sum()),
        satisfied_with=float(truth[seen].mean()) if seen.any() else None,
        satisfied_without=float(truth[~seen].mean()) if not seen.all() else None,
        auc_lost=auc_lost,
    )


class _Columns:
    """How observations become numbers; learned from the observations that train."""

    def __init__(self, signals: Sequence[Signals]) -> None:
        seen = Counter(name for each in signals for name in each)
        sized = Counter(
            name for each in signals for name, value in each.items() if value is not None
        )
        common = [name for name, count in seen.most_common(MOST_NAMES) if count >= FEWEST_SEEN]
        self.names = sorted(common)
        # A signal that is always there tells nothing by being there.
        self._present = [name for name in self.names if len(signals) - seen[name] >= FEWEST_SEEN]
        self._sized = [name for name in self.names if sized[name] >= FEWEST_SEEN]
        self._range: dict[str, tuple[float, float]] = {}
        for name in self._sized:
            self._range[name] = _middle(
                [_log(each[name]) for each in signals if each.get(name) is not None]
            )

    def matrix(self, signals: Sequence[Signals]) -> "Floats":
        """(observations, columns); what is not known is the middle of what is."""
        import numpy as np

        columns = [np.array([float(name in each) for each in signals]) for name in self._present]
        for name in self._sized:
            low, high = self._range[name]
            middle, half = (low + high) / 2, max((high - low) / 2, 1e-9)
            sizes = np.array([_log(each.get(name)) for each in signals])
            known = np.array([each.get(name) is not None for each in signals])
            # One absurd size must not outweigh a thousand others.
            scaled = np.where(known, (np.clip(sizes, low, high) - middle) / half, 0.0)
            columns += [scaled, scaled**2]
        return np.column_stack(columns) if columns else np.zeros((len(signals), 1))


class _Fitted:
    """One fitted model with its columns."""

    def __init__(self, signals: Sequence[Signals], truth: "Floats", weight: "Floats") -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._columns = _Columns(signals)
        matrix = self._columns.matrix(signals)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
        with _one_thread():
            self._model = model.fit(matrix, truth, logisticregression__sample_weight=weight)

    def predict(self, signals: Sequence[Signals]) -> "Floats":
        """The probability of satisfaction, per observation."""
        matrix = self._columns.matrix(signals)
        with _one_thread():
            found: Floats = self._model.predict_proba(matrix)[:, 1]
        return found


def _one_thread() -> "AbstractContextManager[Any]":
    """Several threads would wait for each other, busily, for longer than this takes."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def _log(value: float | None) -> float:
    """The logarithm of a size, its sign kept; 0 for 0."""
    import math

    return 0.0 if value is None else math.copysign(math.log1p(abs(value)), value)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """The range that holds all but a hundredth at either end."""
    import numpy as np

    low, high = np.quantile(values, [0.01, 0.99])
    return float(low), float(high)
