"""A round as a person reads it: what it learned from, the verdict, the rules, what caught it."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving import round_measures
from serving.commands import output, round_pairs
from trainer.export import interval
from trainer.models import Round

SHOWN_ITEMS = 10
_TEXT_MEASURES = ("precision", "recall", "f1", "length")

_ENDINGS = {
    "open": "is open",
    "pending": "waits for reviewers",
    "promoted": "was promoted",
    "refused": "was refused by the gate",
    "abstained": "was not promoted: the gate could not tell yet",
    "failed": "failed",
    "cancelled": "was cancelled",
}


def show(
    row: Round, curve: Sequence[dict[str, Any]] = (), compared: Mapping[str, Any] | None = None
) -> None:
    """Print a round, how its loss fell where there is a curve, and what reviewers made of it."""
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
            *_documents(row.counts),
            ("examples", ", ".join(f"{n} {kind}" for kind, n in _examples(row.counts)) or None),
            ("training", _training(curve)),
            *round_pairs.lines(compared or {}),
        ]
    )
    for note in row.counts.get("notes", ()):
        output.say(note)
    if report := row.shown_report:
        _rules(report)
        _caught(report)
        if report.get("measures"):
            _measures(report["measures"])


def _took(row: Round) -> str | None:
    if row.started_at is None or row.ended_at is None:
        return None
    return f"{row.ended_at - row.started_at:.0f} s"


def _feedback(counts: dict[str, Any]) -> str | None:
    if "feedback" not in counts:
        return None
    return (
        f"{counts.get('feedback', 0)} gathered, {counts.get('used', 0)} used, "
        f"{counts.get('held_out', 0)} held out to judge and "
        f"{counts.get('measured', 0)} to measure, "
        f"{counts.get('contradicted', 0)} contradicted by a reviewed correction, "
        f"{counts.get('superseded', 0)} superseded by what a reviewer accepted later, "
        f"{counts.get('unfit', 0)} that the base model cannot learn"
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


def _documents(counts: dict[str, Any]) -> list[tuple[str, object]]:
    """What a document round read, kept and dropped."""
    read = counts.get("documents")
    if not read:
        return []
    told: list[tuple[str, object]] = [
        ("documents", f"{read['files']} read, {read['unread_count']} not")
    ]
    if "pieces" in read:
        told += [
            ("pieces", f"{read['pieces']}: {read['trained']} learned ({read['tokens']} tokens)"),
            ("held out", f"{read['held_out']} pieces, by {read['held_out_by']}"),
            *([("kept for dev", f"{read['dev']} pieces")] if read.get("dev") else ()),
            *(("dropped", f"{each['pieces']} {each['reason']}") for each in read["dropped"]),
            ("answers", f"{read['answers']} question(s) that people asked"),
            ("general", f"{read['general_share']:.0%} of the tokens"),
            ("personal", f"{read['personal_sentences']} sentence(s) left out"),
            *(("note", each) for each in read["notes"]),
        ]
    told += [
        ("checkpoint", f"{each['adapter']} at {each['share']:.0%} (step {each['step']})")
        for each in counts.get("checkpoints", [])
    ]
    return told


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


def _measures(measures: dict[str, Any]) -> None:
    """What decided nothing: how both models fare."""
    output.say("\nMeasures, before → after:")
    output.table(
        ("suite", "items", "right", "precision", "recall", "token F1", "words"),
        [
            (suite, both["items"], _change(both, "accuracy"), *_text(both))
            for suite, both in measures["suites"].items()
        ],
    )
    likelihood = round_measures.of_likelihood(measures)
    if likelihood:
        output.say("\nBy likelihood:")
        output.table(("measure", "items", "before", "after"), likelihood)
    slices = round_measures.of_slices(measures)
    if slices:
        shown = f"the worst {len(slices)} of {len(measures['slices'])}, " * (
            len(slices) < len(measures["slices"])
        )
        output.say(f"\nSlices, right answers ({shown}95% bounds for all slices at once):")
        output.table(("slice", "items", "before", "after", "elsewhere", "than the rest"), slices)
    labels = round_measures.of_labels(measures)
    if labels:
        output.say("\nLabels, before → after:")
        output.table(("suite", "label", "items", "precision", "recall", "F1"), labels)


def _text(both: dict[str, Any]) -> list[str]:
    """Word by word, where the suite says what an answer is word for word."""
    before, after = both["incumbent"].get("text"), both["candidate"].get("text")
    if not before or not after:
        return [""] * len(_TEXT_MEASURES)
    return [_change({"incumbent": before, "candidate": after}, name) for name in _TEXT_MEASURES]


def _change(both: dict[str, Any], name: str) -> str:
    return f"{both['incumbent'][name]:.3g} → {both['candidate'][name]:.3g}"


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
