"""The gate's rule for a round that learned from documents: held-out pieces became likelier. Pure.

Knows no model and no verdict. What must not break is the other rules' affair.
"""

import math
from collections.abc import Sequence

from trainer import rules
from trainer.evidence import Reading
from trainer.intervals import mean_change
from trainer.rules import Rule, Ruling

SUITE = "documents"
_LABEL = "Held-out documents"


def reads_better(readings: Sequence[Reading], *, seed: int) -> Rule:
    """The candidate finds held-out text likelier: the lower 95% bound of the gain is above zero.

    The gain is in nats per token, each token counting once; its bounds resample whole documents
    or sections (`intervals.bootstrap_bounds`).

    Args:
        readings: of each held-out piece.
        seed: of the resampling.
    """
    if not readings:
        return rules.not_checked(
            "perplexity", SUITE, _LABEL, "none was held out", margin=0.0, unit="nats/token"
        )
    gain, lower, upper = mean_change(
        [(each.incumbent_nats - each.candidate_nats) * each.tokens for each in readings],
        [each.tokens for each in readings],
        [each.cluster for each in readings],
        seed=seed,
    )
    clusters = len({each.cluster for each in readings})
    outcome: Ruling = "abstain"
    if lower > 0:
        outcome = "holds"
        told = f"With 95% confidence the gain is at least {lower:.3f}."
    elif upper < 0:
        outcome = "refuse"
        told = f"With 95% confidence they became less likely, by at least {-upper:.3f}."
    else:
        told = "That may be no gain at all; more documents would tell."
    finite = math.isfinite(gain)
    return Rule(
        name="perplexity",
        suite=SUITE,
        outcome=outcome if finite else "refuse",
        unit="nats/token",
        estimate=gain if finite else None,
        lower=lower if math.isfinite(lower) else None,
        upper=upper if math.isfinite(upper) else None,
        margin=0.0,
        items=len(readings),
        clusters=clusters,
        lost=sum(each.candidate_nats > each.incumbent_nats for each in readings),
        gained=sum(each.candidate_nats < each.incumbent_nats for each in readings),
        sentence=f"{_LABEL}: perplexity went from {perplexity(readings, 'incumbent'):.1f} to "
        f"{perplexity(readings, 'candidate'):.1f} over {len(readings):,} pieces in {clusters:,} "
        f"groups ({gain:+.3f} nats per token gained). {told}",
    )


def perplexity(readings: Sequence[Reading], whose: str) -> float:
    """Return the perplexity of all pieces together: e to the mean nats per token.

    Args:
        readings: at least one.
        whose: `incumbent` or `candidate`.
    """
    nats = sum(getattr(each, f"{whose}_nats") * each.tokens for each in readings)
    return math.exp(min(nats / sum(each.tokens for each in readings), 700.0))
