"""A round as HTML: where it stands, what it learned from, the verdict, what was lost. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.routes.page import code, facts, link, moment, state, table, text
from trainer.export import interval
from trainer.models import Round

SHOWN_CAUGHT = 10
SUMMARY_CHARACTERS = 4000


def article(row: Round) -> str:
    """Return a round: how it stands, what it learned from, and what the gate found."""
    took = ""
    if row.started_at is not None and row.ended_at is not None:
        took = f", took {row.ended_at - row.started_at:.0f} s"
    stands = ""
    if row.state == "open":
        share = min(max(row.progress, 0.0), 1.0)
        stands = (
            f'<p>{text(row.stage)}, {share:.0%} <progress value="{share:.3f}" max="1" '
            f'aria-label="Progress of the stage"></progress></p>'
        )
    counts = row.counts or {}
    learned = (
        f"<p>{_count(counts, 'feedback')} pieces of feedback gathered, {_count(counts, 'used')} "
        f"used, {_count(counts, 'held_out')} held out to judge by.</p>"
        if "feedback" in counts
        else _documents(counts.get("documents"))
    )
    made = f"<p>Adapter {code(row.candidate_id)}</p>" if row.candidate_id else ""
    said = f"<p>{text(row.message)}</p>" if row.message and not row.report else ""
    return (
        f"<article><h3>{link('rounds', row.id)} {state(row.state)}</h3>"
        f'<p class="soft">Opened {moment(row.created_at)}{took}; {text(row.trigger)}</p>'
        f"{stands}{learned}{made}{said}{_report(row)}</article>"
    )


def _documents(read: Mapping[str, Any] | None) -> str:
    if not read:
        return ""
    pieces = (
        f", {_count(read, 'trained')} pieces learned, {_count(read, 'held_out')} held out"
        if "pieces" in read
        else ""
    )
    return f"<p>{_count(read, 'files')} documents read{pieces}.</p>"


def _report(row: Round) -> str:
    if not row.report:
        return ""
    columns = ("Suite", "Rule", "Outcome", "Change", "95% bounds", "Margin", "Items", "Lost")
    rules = table(
        (*columns, "Gained", "Found"),
        map(_rule, row.report.get("rules", [])),
        label=f"Rules of round {row.id}",
    )
    caught: Sequence[Mapping[str, Any]] = row.report.get("caught", [])
    lost = "<p>No item was lost.</p>"
    if caught:
        more = f", of which {SHOWN_CAUGHT} are shown" if len(caught) > SHOWN_CAUGHT else ""
        items = "".join(map(_caught, caught[:SHOWN_CAUGHT]))
        lost = f"<h3>What the candidate lost: {len(caught)}{more}</h3>{items}"
    only = "" if row.report.get("enforced", True) else " (it only reports)"
    return (
        f"<details><summary>The gate says: {text(row.report.get('outcome'))}{only}</summary>"
        f"<p>{text(row.report.get('summary'), most=SUMMARY_CHARACTERS)}</p>{rules}{lost}</details>"
    )


def _rule(rule: Mapping[str, Any]) -> tuple[str, ...]:
    unit, estimate = rule.get("unit", ""), rule.get("estimate")
    change = "" if estimate is None else text(f"{estimate:.3g} {unit}")
    return (
        text(rule.get("suite", "")),
        text(rule.get("name", "")),
        state(rule.get("outcome", "")),
        change,
        text(interval(rule)),
        text(f"{rule.get('margin', 0):g} {unit}"),
        *(_count(rule, name) for name in ("items", "lost", "gained")),
        f'<div class="said">{text(rule.get("sentence", ""))}</div>',
    )


def _caught(item: Mapping[str, Any]) -> str:
    names = {
        "suite": "Suite",
        "prompt": "Prompt",
        "incumbent_answer": "Before",
        "candidate_answer": "Now",
        "expected": "Wanted",
    }
    shown = facts((said, text(item.get(key))) for key, said in names.items())
    return f"<article>{shown}</article>"


def _count(counts: Mapping[str, Any], name: str) -> str:
    return text(counts.get(name, 0))
