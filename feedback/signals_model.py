"""What signals mean: a calibrated model of satisfaction, and how far it can be trusted.

Pure: knows no database and no receipts. scikit-learn is loaded once there is enough to learn from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feedback.calibration import Bin, auc, auc_error, bins, brier, expected_error
from feedback.signals_fit import Fitted, Signals, Table, one_thread, tabled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_PAIRS = 50
FEWEST_OF_EACH = 10
"""So many satisfied and so many dissatisfied people's answers at least."""
FEWEST_PEOPLE = 5
FOLDS = 5
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
        base_rate_error: its standard error (Kish's effective sample size); probabilities can hardly
            be nearer to the truth than this.
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
    base_rate_error: float | None = None
    auc: float | None = None
    auc_low: float | None = None
    brier: float | None = None
    brier_base: float | None = None
    calibration_error: float | None = None
    bins: tuple[Bin, ...] = ()
    signals: tuple[Worth, ...] = ()
    _fitted: Fitted | None = field(default=None, repr=False)

    def predict(self, signals: Sequence[Signals]) -> list[float]:
        """Return the probability of satisfaction for each set of signals.

        Raises:
            ValueError: nothing was learned.
        """
        if self._fitted is None:
            raise ValueError(f"nothing was learned: {self.reason}")
        return [float(each) for each in self._fitted.predict_signals(signals)]

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

    Measured by cross-fitting: five folds that split no person, each predicted by a model of the
    others. It is not usable with too few pairs, nor where it cannot be told from chance.

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
    table = tabled(signals)
    with one_thread():
        predicted = _cross_fitted(table, truth, weight, folds)
        fitted = Fitted(table, truth, weight)
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
        for name in table.names:
            with one_thread():
                without = _cross_fitted(table.without(name), truth, weight, folds)
            lost = area - auc(truth, without)
            worth.append(_worth(name, table, truth, auc_lost=lost))
    return Learnt(
        **about,
        usable=not reason,
        reason=reason,
        base_rate=base_rate,
        base_rate_error=float(
            np.sqrt(base_rate * (1 - base_rate) * (weight**2).sum()) / weight.sum()
        ),
        auc=area,
        auc_low=low,
        brier=squared,
        brier_base=squared_base,
        calibration_error=expected_error(truth, predicted),
        bins=tuple(bins(truth, predicted)),
        signals=tuple(sorted(worth, key=lambda each: -each.auc_lost)),
        _fitted=fitted,
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
    table: Table,
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
        fitted = Fitted(table.rows(training), truth[training], weight[training])
        predicted[held_out] = fitted.predict(table.rows(held_out))
    return predicted


def _worth(name: str, table: Table, truth: "Floats", *, auc_lost: float) -> Worth:
    seen = table.seen[:, table.names.index(name)]
    return Worth(
        name=name,
        seen=int(seen.sum()),
        satisfied_with=float(truth[seen].mean()) if seen.any() else None,
        satisfied_without=float(truth[~seen].mean()) if not seen.all() else None,
        auc_lost=auc_lost,
    )
