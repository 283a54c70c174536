"""A gate's report as a person reads it: one sentence, then each rule on a scale. Pure.

Takes the report as it is stored on a round. Knows no NiceGUI and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feedback.text import counted
from serving.console.theme import Tone
from trainer.rules import Rule

_ROOM = 1.12
"""A scale goes so much further than what is drawn on it."""
_LEAST_SPAN = {"points": 1.0, "nats/token": 0.01, "percent": 5.0, "items": 1.0}
TONES: Mapping[str, Tone] = {
    "holds": "good",
    "refuse": "bad",
    "abstain": "warn",
    "not checked": "soft",
}
SAID = {
    "holds": "holds",
    "refuse": "broken",
    "abstain": "unsure",
    "not checked": "not checked",
}
_DEMANDS = {
    "non-inferiority": "may not get worse",
    "superiority": "has to get better",
    "drift": "answers may not drift",
    "length": "answers stay as long",
    "perplexity": "has to read better",
    "sycophancy": "may not give in more often",
    "honeypots": "may not flip",
    "slices": "no part may get worse",
    "anchor": "may not fall over many rounds",
    "reviewed-pairs": "may not be liked less",
}
_FLOORS = ("non-inferiority", "slices", "sycophancy", "anchor", "reviewed-pairs")
_GAINS = ("superiority", "perplexity")


@dataclass(frozen=True)
class Line:
    """One rule as it is drawn.

    Attributes:
        label: what the rule was applied to.
        demand: what it demands, in a few words.
        outcome: its ruling in a word, and in which `tone`.
        told: its sentence, without the label.
        estimate, low, high: what was measured; None where nothing was. Without bounds all three
            are the same.
        least, most: the ends of the scale.
        allowed: from where to where the rule holds, within the scale; where there are bounds, both
            have to lie in it as far as it is open to one side.
        figures: estimate, interval and margin in words.
        items: how many it rests on.
    """

    label: str
    demand: str
    outcome: str
    tone: Tone
    told: str
    estimate: float | None
    low: float
    high: float
    least: float
    most: float
    allowed: tuple[float, float]
    figures: str
    items: int


def sentence(state: str, report: Mapping[str, Any]) -> str:
    """Return the verdict in one sentence.

    Args:
        state: in which the round ended.
        report: as it is stored.
    """
    rules = report.get("rules", [])
    outcome = report.get("outcome")
    by = {name: [each for each in rules if each["outcome"] == name] for name in SAID}
    if state == "pending":
        needed = [each["needed"] for each in rules if each["name"] == "reviewed-pairs"]
        return f"Waits for reviewers: every other rule holds, and {_awaited(needed)}."
    if outcome == "promote":
        held = counted(len(by["holds"]), "rule")
        verb = "holds" if len(by["holds"]) == 1 else "hold"
        told = f"it learned what it was taught and lost nothing that matters: {held} {verb}"
    elif outcome == "refuse":
        told = f"there is evidence of harm: {_named(by['refuse'])}"
    else:
        told = "there is too little to tell by"
        if by["abstain"]:
            told += f": {_named(by['abstain'])}"
        needed = [each["needed"] for each in by["abstain"] if each.get("needed")]
        if needed:
            told += f"; about {counted(max(needed), 'more item')} would tell"
    if not report.get("enforced", True):
        would = {"promote": "have promoted it", "refuse": "have refused it"}.get(
            str(outcome), "not have promoted it"
        )
        return f"Published whatever the gate says, which would {would}, since {told}."
    if outcome == "promote" and state != "promoted":
        return f"Not promoted, although {told}: another adapter went live while the round ran."
    begun = {"promote": "Promoted", "refuse": "Refused"}.get(str(outcome), "Not promoted")
    return f"{begun}, since {told}."


def lines(report: Mapping[str, Any]) -> list[Line]:
    """Return every rule of a report, those that decided first and those not checked last."""
    order = ("refuse", "abstain", "holds", "not checked")
    found = [Rule.model_validate(each) for each in report.get("rules", [])]
    return [_line(each) for each in sorted(found, key=lambda rule: order.index(rule.outcome))]


def _line(rule: Rule) -> Line:
    label, _, told = rule.sentence.partition(": ")
    low = rule.estimate if rule.lower is None else rule.lower
    high = rule.estimate if rule.upper is None else rule.upper
    floor, ceiling = _allowed(rule)
    shown = [0.0, *(v for v in (rule.estimate, low, high, floor, ceiling) if v is not None)]
    span = max(max(shown) - min(shown), _LEAST_SPAN[rule.unit])
    least = min(shown) - span * (_ROOM - 1)
    most = max(shown) + span * (_ROOM - 1)
    return Line(
        label=label,
        demand=_DEMANDS[rule.name],
        outcome=SAID[rule.outcome],
        tone=TONES[rule.outcome],
        told=told[:1].upper() + told[1:],
        estimate=rule.estimate,
        low=0.0 if low is None else low,
        high=0.0 if high is None else high,
        least=least,
        most=most,
        allowed=(least if floor is None else floor, most if ceiling is None else ceiling),
        figures=_figures(rule),
        items=rule.items,
    )


def _allowed(rule: Rule) -> tuple[float | None, float | None]:
    """Where the rule holds; None is an end that is open."""
    if rule.name in _FLOORS:
        return -rule.margin, None
    if rule.name in _GAINS:
        return rule.margin, None
    if rule.name == "length":
        return -rule.margin, rule.margin
    return None, rule.margin


def _figures(rule: Rule) -> str:
    if rule.estimate is None:
        return ""
    signed = "" if rule.name in ("drift", "honeypots") else "+"
    unit = "%" if rule.unit == "percent" else f" {rule.unit}"
    told = f"{_number(rule.estimate, signed)}{unit}"
    if rule.lower is not None and rule.upper is not None:
        told += f", 95% from {_number(rule.lower, '+')} to {_number(rule.upper, '+')}"
    return f"{told}; {_margin(rule)}"


def _margin(rule: Rule) -> str:
    if rule.name in _FLOORS:
        return f"−{rule.margin:g} allowed"
    if rule.name in _GAINS:
        return (
            f"more than {_number(rule.margin, '+')} asked for"
            if rule.margin
            else "a gain asked for"
        )
    around = "±" if rule.name == "length" else "up to "
    return f"{around}{rule.margin:g}{'%' if rule.unit == 'percent' else ''} allowed"


def _number(value: float, signed: str) -> str:
    digits = 1 if abs(value) >= 1 or value == 0 else 3
    return f"{value:{signed}.{digits}f}".replace("-", "−")


def _awaited(needed: Sequence[int | None]) -> str:
    more = needed[0] if needed else None
    if not more:
        return "enough pairs are judged to be counted in a moment"
    return f"{counted(more, 'more pair')} {'has' if more == 1 else 'have'} to be judged"


def _named(rules: Sequence[Mapping[str, Any]]) -> str:
    names = [str(each["sentence"]).partition(": ")[0] for each in rules]
    if not names:
        return "nothing could be looked at"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
