"""A round as a person reads it: what it learned from, the verdict, the rules, what caught it."""

from collections.abc import Sequence
from typing import Any

from serving.commands import output
from trainer.export import interval
from trainer.models import Round

SHOWN_ITEMS = 10

_ENDINGS = {
    "open": "is open",
    "promoted": "was promoted",
    "refused": "was refused by the gate",
    "abstained": "was not promoted: the gate could not tell yet",
    "failed": "failed",
    "cancelled": "was cancelled",
}


def show(row: Round, curve: Sequence[dict[str, Any]] = ()) -> None:
    """Print a round, and how its loss fell where there is a curve."""
    where = f" ({row.stage}, {row.progress:.0%})" if row.state == "open" else ""
    output.say(f"Round {row.id} {_ENDINGS.get(row.state, row.state)}{where}.")
    if row.message:
        output.say(row.message)
    output.say("")
    output.facts(
        [
            ("trigger", row.trigger),
            ("opened", output.moment(row.created_at)),
            ("took", _took(row)),
            ("incumbent", row.incumbent_id or "base"),
            ("candidate", row.candidate_id),
            ("feedback", _feedback(row.counts)),
            ("examples", ", ".join(f"{n} {kind}" for kind, n in _examples(row.counts)) or None),
            ("training", _training(curve)),
        ]
    )
    for note in row.counts.get("notes", []):
        output.say(f"  {note}")
    if row.report:
        _rules(row.report)
        _caught(row.report)


def _took(row: Round) -> str | None:
    if row.started_at is None or row.ended_at is None:
        return None
    return f"{row.ended_at - row.started_at:.0f} s"


def _feedback(counts: dict[str, Any]) -> str | None:
    if not counts:
        return None
    return (
        f"{counts.get('feedback', 0)} gathered, {counts.get('used', 0)} used, "
        f"{counts.get('held_out', 0)} held out to judge, "
        f"{counts.get('contradicted', 0)} contradicted by a reviewed correction"
    )


def _training(curve: Sequence[dict[str, Any]]) -> str | None:
    if not curve:
        return None
    last = curve[-1]
    told = (
        f"{last['step']} of {last['steps']} steps, loss {curve[0]['loss']:.3g} → {last['loss']:.3g}"
    )
    dev = [step["dev_loss"] for step in curve if step["dev_loss"] is not None]
    return f"{told}, on dev {dev[0]:.3g} → {dev[-1]:.3g}" if dev else told


def _examples(counts: dict[str, Any]) -> list[tuple[str, int]]:
    return list(counts.get("examples", {}).items())


def _rules(report: dict[str, Any]) -> None:
    enforced = "" if report.get("enforced", True) else " (it only reports; it decided nothing)"
    output.say(f"\nThe gate says: {report['outcome']}{enforced}.")
    output.table(
        ("suite", "rule", "outcome", "change", "95% bounds", "margin", "items", "lost", "gained"),
        [
            (
                rule["suite"],
                rule["name"],
                rule["outcome"],
                "" if rule.get("estimate") is None else f"{rule['estimate']:.3g} {rule['unit']}",
                interval(rule),
                f"{rule['margin']:g}",
                rule.get("items", 0),
                rule.get("lost", 0),
                rule.get("gained", 0),
            )
            for rule in report["rules"]
        ],
    )


def _caught(report: dict[str, Any]) -> None:
    caught = report.get("caught", [])
    if not caught:
        return
    output.say(f"\nWhat the candidate lost ({len(caught)}):")
    for item in caught[:SHOWN_ITEMS]:
        output.say(f"  {item['suite']}: {item['prompt']}")
        output.say(f"    before: {item['incumbent_answer']}")
        output.say(f"    now:    {item['candidate_answer']}")
        output.say(f"    wanted: {item['expected']}")
    if len(caught) > SHOWN_ITEMS:
        output.say(f"  … and {len(caught) - SHOWN_ITEMS} more (--json shows all).")
