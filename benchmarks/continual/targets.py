"""The targets, each with what was measured and whether it holds.

Knows the figures alone; a target whose runs are not there says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.continual import metrics
from benchmarks.continual.metrics import Run
from benchmarks.continual.streams_facts import WAYS

Found = dict[str, dict[str, list[Run]]]
"""Runs by stream and by the method's name."""

NOT_KNOWING = "unknown"
"""The exam's topic of questions that the shop cannot answer: whoever learns of new products learns, too,
that such names may be known."""


@dataclass(frozen=True)
class Row:
    """One target.

    Attributes:
        target: what is asked for.
        passes: what is enough.
        measured: in words; empty where nothing was measured.
        holds: None where nothing was measured.
    """

    target: str
    passes: str
    measured: str = ""
    holds: bool | None = None


def rows(found: Found, method: str, gate: dict[str, Any] | None) -> list[Row]:
    """Every target, for one method of the product's kind."""
    facts = found.get("A", {})
    ours = facts.get(method, [])
    return [
        *_against_joint(ours, facts.get("joint", [])),
        _backward(ours, facts.get("sequential", [])),
        _kept(ours, facts.get("frozen", [])),
        _plastic(ours, facts.get("sequential", [])),
        _stale(ours),
        _noise(found, method, "E-20", 0.95, "20% of the accounts wrong, three reporters"),
        _noise(found, method, "E-40-gold", 0.90, "40% wrong, with gold"),
        _traps(found, method),
        _thumbs(found, method),
        _forward(ours),
        Row("document round", "≥80% of the look-up's gain", "by `benchmarks.document_round`"),
        *_gate(gate),
    ]


def _against_joint(ours: list[Run], joint: list[Run]) -> list[Row]:
    accuracy = "average accuracy against joint training", "≥98%"
    cost = "training cost against joint training, cumulative", "≤10%"
    common = set.intersection(*(set(run.rounds) for run in (*ours, *joint))) if joint else set()
    if not ours or not common:
        return [Row(*accuracy), Row(*cost)]
    last = max(common)
    mine = metrics.share(metrics.pooled(ours, metrics.final(last)))
    bound = metrics.share(metrics.pooled(joint, metrics.final(last)))
    spent = fmean(metrics.cumulative_cost(run, last) for run in ours)
    theirs = fmean(metrics.cumulative_cost(run, last) for run in joint)
    return [
        _ratio(*accuracy, mine, bound, least=0.98, where=f"at round {last}: "),
        Row(
            *cost,
            f"{spent / theirs:.1%} over {last} rounds ({spent:,.0f} of {theirs:,.0f} CPU seconds; "
            "joint's between the rounds that were run is interpolated)",
            spent <= 0.1 * theirs,
        ),
    ]


def _backward(ours: list[Run], sequential: list[Run]) -> Row:
    target = "backward transfer", "≥ −1 point"
    change = metrics.backward_transfer(ours)
    if change is None:
        return Row(*target)
    other = metrics.backward_transfer(sequential)
    beside = f"; sequential {100 * other.estimate:+.1f}" if other else ""
    return Row(*target, f"{points(change)}{beside}", change.estimate >= -0.01)


def _kept(ours: list[Run], frozen: list[Run]) -> Row:
    target = "base knowledge and skills kept", "≥99%"
    share = kept_share(ours, frozen)
    if share is None:
        return Row(*target)
    known = kept_share(ours, frozen, without=NOT_KNOWING)
    beside = "" if known is None else f"; {known:.1%} without questions that it should not know"
    return Row(*target, f"{share:.1%}{beside}", share >= 0.99)


def kept_share(ours: Sequence[Run], frozen: Sequence[Run], *, without: str = "") -> float | None:
    """Of what the starter answered rightly in its exam, how much is still right.

    Args:
        ours: the runs.
        frozen: runs that never learn, of the same seeds.
        without: a topic that is left out.
    """
    reference = {run.seed: run for run in frozen}
    some = [run for run in ours if run.seed in reference]
    return metrics.share(
        metrics.pooled(some, lambda run: metrics.kept(run, reference[run.seed], without=without))
    )


def _plastic(ours: list[Run], sequential: list[Run]) -> Row:
    target = "plasticity against sequential", "≥97%"
    if not ours or not sequential:
        return Row(*target)
    last = min(run.last for run in (*ours, *sequential))
    mine, theirs = (
        metrics.share(metrics.pooled([run.until(last) for run in some], metrics.right_after))
        for some in (ours, sequential)
    )
    return _ratio(*target, mine, theirs, least=0.97)


def _stale(ours: list[Run]) -> Row:
    target = "stale answers after a revision", "≤1%"
    share = metrics.share(metrics.pooled(ours, metrics.stale))
    return Row(*target) if share is None else Row(*target, f"{share:.1%}", share <= 0.01)


def _noise(found: Found, method: str, stream: str, least: float, what: str) -> Row:
    clean = metrics.share(metrics.pooled(found.get("E-0", {}).get(method, []), metrics.final()))
    noisy = metrics.share(metrics.pooled(found.get(stream, {}).get(method, []), metrics.final()))
    return _ratio(what, f"≥{least:.0%} of clean", noisy, clean, least=least)


def _traps(found: Found, method: str) -> Row:
    target = "1% of the accounts collude", "0 of 200 honeypots flip"
    said, holds = [], True
    for stream in ("E-colluding", "E-sleeping"):
        runs = found.get(stream, {}).get(method, [])
        if runs:
            flipped = metrics.pooled(runs, metrics.flipped)
            lost = sum(flipped.values())
            said.append(f"{stream}: {lost} of {len(flipped)}")
            holds = holds and lost == 0
    return Row(*target, "; ".join(said), holds) if said else Row(*target)


def _thumbs(found: Found, method: str) -> Row:
    target = "thumbs only", "≥90% of the gain from demonstrations"
    gains = []
    for stream in ("D", "D-shown"):
        after = metrics.share(
            metrics.pooled(found.get(stream, {}).get(method, []), metrics.final())
        )
        start = metrics.share(
            metrics.pooled(found.get(stream, {}).get("frozen", []), metrics.final())
        )
        gains.append(None if after is None or start is None else after - start)
    thumbs, shown = gains
    if thumbs is None or shown is None or shown <= 0:
        return Row(*target)
    said = f"{thumbs / shown:.0%} ({100 * thumbs:+.1f} and {100 * shown:+.1f} points)"
    return Row(*target, said, thumbs >= 0.9 * shown)


def _forward(ours: list[Run]) -> Row:
    target = "examples a fact until 90% are known, last round ÷ first", "≤0.8"
    found: dict[str, list[float | None]] = {"first": [], "last": []}
    for run in ours:
        tried = {record.job.number for record in run.needs}
        if run.last > 1 and {1, run.last} <= tried:
            found["first"].append(metrics.needed(run, 1, WAYS, level=0.9))
            found["last"].append(metrics.needed(run, run.last, WAYS, level=0.9))
    if not found["first"]:
        return Row(*target)
    if None in found["last"]:
        known = [each for each in found["last"] if each is not None]
        last = f"{fmean(known):.2f} in the others" if known else "in no run"
        return Row(*target, f"{WAYS} were not always enough in the last round ({last})", False)
    # Where all there are do not suffice, more are needed: then the ratio is below what comes out.
    below, more = ("below ", "more than ") if None in found["first"] else ("", "")
    first = fmean(WAYS if each is None else each for each in found["first"])
    after = fmean(each for each in found["last"] if each is not None)
    said = f"{below}{after / first:.2f} ({after:.2f} ÷ {more}{first:.2f})"
    return Row(*target, said, after <= 0.8 * first)


def _gate(gate: dict[str, Any] | None) -> list[Row]:
    names = (
        ("gate: promotions of candidates that lost 2 points", "≤5%"),
        ("gate: power on candidates that are better", "≥80%"),
    )
    if gate is None:
        return [Row(*name) for name in names]
    false, power = gate["false_promotions"], gate["power"]
    rounds = gate["rounds"]
    return [
        Row(*names[0], f"{false:.1%} of {rounds:,} simulated rounds", false <= 0.05),
        Row(*names[1], f"{power:.1%} of {rounds:,} simulated rounds", power >= 0.8),
    ]


def points(change: Any) -> str:
    """A difference in points, with its bounds."""
    return (
        f"{100 * change.estimate:+.1f} points ({100 * change.lower:+.1f} to "
        f"{100 * change.upper:+.1f})"
    )


def _ratio(
    target: str,
    passes: str,
    mine: float | None,
    theirs: float | None,
    *,
    least: float,
    where: str = "",
) -> Row:
    if mine is None or not theirs:
        return Row(target, passes)
    said = f"{where}{mine / theirs:.1%} ({mine:.1%} and {theirs:.1%})"
    return Row(target, passes, said, mine >= least * theirs)
