"""How good versions are by what people preferred, side by side. Pure: knows no database.

Bradley and Terry 1952, *Rank analysis of incomplete block designs: I. The method of paired comparisons*:
the odds that one is preferred to another are the ratio of their strengths. Fitted as the logistic
regression that it is; the errors are those of people, not of votes (Liang and Zeger 1986, *Longitudinal
data analysis using generalized linear models*), since one person's preferences are not independent.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, ndtri

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
PRIOR_DEVIATION = 10.0
"""Of a strength, in log-odds: what keeps a version that never lost from being infinitely good. It
moves no estimate that the data bound."""


@dataclass(frozen=True)
class Strength:
    """One version beside the one that they are all compared with.

    Attributes:
        name: of the version.
        log_odds: that it is preferred to the reference; 0 for the reference itself.
        lower: … 95% confident that they are above this …
        upper: … and below this. Equal to the estimate for the reference.
        preferred: the chance that it is preferred to the reference.
        wins: how often it was preferred to any.
        comparisons: how often it was compared with any.
        people: who compared it.
    """

    name: str
    log_odds: float
    lower: float
    upper: float
    preferred: float
    wins: int
    comparisons: int
    people: int


def strengths(
    preferences: Sequence[tuple[str, str, Hashable]], *, reference: str | None = None
) -> list[Strength]:
    """Return every version's strength, the best first; none without preferences.

    Versions that nothing connects with the reference, directly or through others, have an interval so
    wide that it says so.

    Args:
        preferences: (preferred, passed over, person); of the same version on both sides, nothing.
        reference: what the others are compared with; by default what was compared most often.
    """
    told = [(won, lost, person) for won, lost, person in preferences if won != lost]
    if not told:
        return []
    met = [name for won, lost, _ in told for name in (won, lost)]
    order = sorted(set(met), key=lambda name: (-met.count(name), name))
    if reference in order:
        order.insert(0, order.pop(order.index(reference)))
    place = {name: at for at, name in enumerate(order)}
    design = np.zeros((len(told), len(order)))
    rows = np.arange(len(told))
    design[rows, [place[won] for won, _, _ in told]] = 1.0
    design[rows, [place[lost] for _, lost, _ in told]] = -1.0
    others = design[:, 1:]  # the first is the reference, at 0
    penalty = np.full(others.shape[1], PRIOR_DEVIATION**-2)

    def loss(at: Floats) -> float:
        return float(np.logaddexp(0, -(others @ at)).sum() + (penalty * at**2).sum() / 2)

    def gradient(at: Floats) -> Floats:
        found: Floats = penalty * at - others.T @ expit(-(others @ at))
        return found

    start = np.zeros(others.shape[1])
    fitted = minimize(loss, start, jac=gradient, method="BFGS", options={"gtol": 1e-8})
    chance = expit(others @ fitted.x)
    curvature = (others.T * (chance * (1 - chance))) @ others + np.diag(penalty)
    people = {person: at for at, person in enumerate(dict.fromkeys(who for _, _, who in told))}
    member = [people[who] for _, _, who in told]
    scores = np.zeros((len(people), others.shape[1]))
    np.add.at(scores, member, others * (1 - chance)[:, None])
    # Few people: the sandwich is too narrow by about (G − 1) / G. With one, or where nobody is of
    # two minds, it has no width at all: then the curvature alone says how little is known.
    spread = len(people) / max(1, len(people) - 1)
    bread = np.linalg.inv(curvature)
    robust = np.sqrt(np.diag(bread @ (scores.T @ scores * spread) @ bread))
    plain = np.sqrt(np.diag(bread))
    seen = {name: [at for at, row in enumerate(told) if name in row[:2]] for name in order}
    separated = np.array([_one_sided(told, seen[name], name) for name in order[1:]], dtype=bool)
    error = np.where(separated | (len(people) < 2), np.maximum(robust, plain), robust)
    reach = float(ndtri((1 + CONFIDENCE) / 2))
    found = []
    for at, name in enumerate(order):
        odds = float(fitted.x[at - 1]) if at else 0.0
        wide = reach * float(error[at - 1]) if at else 0.0
        found.append(
            Strength(
                name=name,
                log_odds=odds,
                lower=odds - wide,
                upper=odds + wide,
                preferred=float(expit(odds)),
                wins=sum(told[row][0] == name for row in seen[name]),
                comparisons=len(seen[name]),
                people=len({told[row][2] for row in seen[name]}),
            )
        )
    return sorted(found, key=lambda each: -each.log_odds)


def _one_sided(told: Sequence[tuple[str, str, Hashable]], rows: Sequence[int], name: str) -> bool:
    """Whether a version always won or always lost."""
    wins = sum(told[row][0] == name for row in rows)
    return wins in (0, len(rows))
