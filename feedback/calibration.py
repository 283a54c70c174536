"""How good probabilities are: AUC with its error, Brier score, reliability. Pure; knows no model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

BINS = 10
FEWEST_IN_A_BIN = 10


@dataclass(frozen=True)
class Bin:
    """One point of a reliability diagram.

    Attributes:
        low: the lowest probability in it.
        high: the highest.
        predicted: their mean.
        observed: the share that came true.
        count: how many there are.
    """

    low: float
    high: float
    predicted: float
    observed: float
    count: int


def auc(truth: "Floats", predicted: "Floats") -> float:
    """Return the area under the ROC curve: how often a 1 ranks above a 0, ties counting half.

    Args:
        truth: (n,) zeros and ones, both present.
        predicted: (n,) probabilities.
    """
    import numpy as np

    return float(_placements(truth, predicted)[truth == 1].mean()) if np.ptp(truth) else 0.5


def auc_error(truth: "Floats", predicted: "Floats", clusters: "Whole") -> float:
    """Return the standard error of the AUC where rows of one cluster are not independent.

    Obuchowski 1997, *Nonparametric analysis of clustered ROC curve data*: DeLong's structural
    components, summed within clusters.

    Args:
        truth: (n,) zeros and ones, both present.
        predicted: (n,) probabilities.
        clusters: (n,) numbers from 0: rows with the same number belong together.
    """
    import numpy as np

    place, area = _placements(truth, predicted), auc(truth, predicted)
    number = int(clusters.max()) + 1
    parts = np.zeros(number)
    for label in (0, 1):
        rows = truth == label
        # A 1's placement is the share of zeros below it; a 0's, the share of ones above it.
        parts += np.bincount(
            clusters[rows], weights=(place[rows] - area) / rows.sum(), minlength=number
        )
    return float(np.sqrt((parts**2).sum() * number / max(number - 1, 1)))


def brier(truth: "Floats", predicted: "Floats") -> float:
    """Return the mean squared error of probabilities (Brier 1950)."""
    return float(((predicted - truth) ** 2).mean())


def bins(truth: "Floats", predicted: "Floats") -> list[Bin]:
    """Return the reliability diagram: bins of equal size, fewer where there is little."""
    import numpy as np

    number = max(1, min(BINS, len(truth) // FEWEST_IN_A_BIN))
    order = np.argsort(predicted, kind="stable")
    return [
        Bin(
            low=float(predicted[rows].min()),
            high=float(predicted[rows].max()),
            predicted=float(predicted[rows].mean()),
            observed=float(truth[rows].mean()),
            count=len(rows),
        )
        for rows in np.array_split(order, number)
    ]


def expected_error(truth: "Floats", predicted: "Floats") -> float:
    """Return the expected calibration error over bins of equal size.

    Nguyen and O'Connor 2015, *Posterior calibration and exploratory analysis for natural language
    processing models*: the mean distance between predicted and observed, per row. With a hundred
    rows even perfect probabilities show some.
    """
    return sum(
        each.count * abs(each.predicted - each.observed) for each in bins(truth, predicted)
    ) / len(truth)


def _placements(truth: "Floats", predicted: "Floats") -> "Floats":
    """Per row, the share of the other class that it is on the right side of; ties count half."""
    import numpy as np

    found = np.zeros(len(truth))
    for label, sign in ((1, 1.0), (0, -1.0)):
        others = np.sort(sign * predicted[truth != label])
        own = sign * predicted[truth == label]
        below = np.searchsorted(others, own, side="left")
        at_most = np.searchsorted(others, own, side="right")
        found[truth == label] = (below + at_most) / 2 / max(len(others), 1)
    return found
