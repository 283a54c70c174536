"""Signals as numbers, and a logistic model of them. Knows no people, no folds and no verdict.

Observations become arrays once; every fold is rows of the same arrays.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

Signals = Mapping[str, float | None]

MOST_NAMES = 40
"""A client may make up names of signals; only the commonest are looked at."""
FEWEST_SEEN = 5
"""What was seen, or not seen, less often says nothing."""
PENALTY = 0.3
"""Inverse strength of the ridge penalty on standardised columns (scikit-learn's `C`).

Fixed: with one or two hundred pairs, choosing it by the held-out log loss, or setting probabilities
right afterwards by a logistic curve over the folds, adds more error than it takes away. With thousands
it makes no difference.
"""


@dataclass(frozen=True)
class Table:
    """Observations as arrays.

    Attributes:
        names: of the signals, in the order of the columns.
        seen: (observations, names) whether it was seen.
        size: (observations, names) the logarithm of its size, its sign kept; NaN where it has none.
    """

    names: tuple[str, ...]
    seen: "Flags"
    size: "Floats"

    def rows(self, which: Any) -> "Table":
        """Some of the observations."""
        return Table(self.names, self.seen[which], self.size[which])

    def without(self, name: str) -> "Table":
        """All but one of the signals."""
        kept = [at for at, each in enumerate(self.names) if each != name]
        names = tuple(self.names[at] for at in kept)
        return Table(names, self.seen[:, kept], self.size[:, kept])


def tabled(signals: Sequence[Signals], names: Sequence[str] | None = None) -> Table:
    """Return observations as arrays.

    Args:
        signals: what was observed.
        names: of the columns; the commonest of these observations where there are none.
    """
    import numpy as np

    if names is None:
        counts = Counter(chain.from_iterable(signals)).most_common(MOST_NAMES)
        names = sorted(name for name, count in counts if count >= FEWEST_SEEN)
    column = {name: at for at, name in enumerate(names)}
    seen = np.zeros((len(signals), len(names)), dtype=bool)
    size = np.full(seen.shape, np.nan)
    for row, each in enumerate(signals):
        for name, value in each.items():
            at = column.get(name)
            if at is not None:
                seen[row, at] = True
                if value is not None:
                    size[row, at] = value
    return Table(tuple(names), seen, np.copysign(np.log1p(np.abs(size)), size))


class Fitted:
    """A fitted model, with how its observations became columns.

    Logistic regression (a calibrated model by its loss) with a ridge penalty on columns per signal:
    whether it was seen, and the logarithm of its size with its square.

    Args:
        table: the observations that train.
        truth: (observations,) zeros and ones, both present.
        weight: (observations,) how much each counts.
    """

    def __init__(self, table: Table, truth: "Floats", weight: "Floats") -> None:
        import numpy as np
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._names = table.names
        seen, sized = table.seen.sum(axis=0), (~np.isnan(table.size)).sum(axis=0)
        common = seen >= FEWEST_SEEN
        # A signal that is always there tells nothing by being there.
        self._present = np.flatnonzero(common & (len(table.seen) - seen >= FEWEST_SEEN))
        self._sized = np.flatnonzero(common & (sized >= FEWEST_SEEN))
        # The range that holds all but a hundredth at either end.
        ranges = [np.nanquantile(table.size[:, at], [0.01, 0.99]) for at in self._sized]
        self._low, self._high = np.array(ranges).reshape(-1, 2).T
        # Few columns beside the observations: Newton's method is there in a few steps.
        model = LogisticRegression(C=PENALTY, solver="newton-cholesky", max_iter=1000)
        self._model = make_pipeline(StandardScaler(), model).fit(
            self._matrix(table), truth, logisticregression__sample_weight=weight
        )

    def predict(self, table: Table) -> "Floats":
        """The probability of a one per observation; the table has the columns of the training's."""
        found: Floats = self._model.predict_proba(self._matrix(table))[:, 1]
        return found

    def predict_signals(self, signals: Sequence[Signals]) -> "Floats":
        """The same for observations as they came."""
        with one_thread():
            return self.predict(tabled(signals, self._names))

    def _matrix(self, table: Table) -> "Floats":
        """(observations, columns); what is not known is the middle of what is."""
        import numpy as np

        size = table.size[:, self._sized]
        middle, half = (self._low + self._high) / 2, np.maximum((self._high - self._low) / 2, 1e-9)
        # One absurd size must not outweigh a thousand others.
        scaled = (np.clip(size, self._low, self._high) - middle) / half
        scaled = np.where(np.isnan(size), 0.0, scaled)
        columns = np.column_stack([table.seen[:, self._present], scaled, scaled**2]).astype(float)
        return columns if columns.shape[1] else np.zeros((len(columns), 1))


def one_thread() -> "AbstractContextManager[Any]":
    """Several threads would wait for each other, busily, for longer than a fit takes.

    For a whole piece of work: looking for the libraries that have threads takes longer than a fit.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
