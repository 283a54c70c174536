"""A part of the Insights page: how far people's word can be relied on. No names; knows no SQL."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from nicegui import ui

from feedback import reports
from serving.console import theme
from serving.console.desk import Desk
from serving.console.theme import Tone

SHOWN = 25
LOW = 0.5


async def build(desk: Desk, _days: int) -> None:
    """Draw how noisy votes are, and who counts less, and why."""
    told = await desk.read(reports.trust, desk.parts.settings.feedback)
    if not told["votes"]:
        theme.empty(
            "verified_user",
            "Nobody has voted yet",
            "Whose word counts is told from agreement with others and with reviewers. Once there "
            "are votes, accounts that count less are listed here, with the reason.",
        )
        return
    with theme.grid():
        theme.stat("Votes", f"{told['votes']:,}", "that were weighed")
        theme.stat("Accounts", f"{told['accounts']:,}", "that cast them")
        theme.stat("Judged twice", f"{told['answers_shared']:,}", "answers that several voted on")
        decided = f"{told['decided_by_reviewers']:,}"
        theme.stat("Decided", decided, "by reviewers, which weighs most")
        if told["typical_accuracy"] is not None:
            theme.stat("Usually right", f"{told['typical_accuracy']:.0%}", "a typical account")
    _noise(told["noise"])
    _discounted(told)


def _noise(noise: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [
        [
            kind.replace("_", " "),
            f"{each['votes']:,}",
            "too little to tell" if each["wrong_share"] is None else f"{each['wrong_share']:.0%}",
            f"{each['judged']:,}",
        ]
        for kind, each in noise.items()
        if each["votes"]
    ]
    if rows:
        with theme.card("How much is probably wrong"):
            theme.table(("Kind", "Votes", "Probably wrong", "Judged"), rows, label="Noise")


def _discounted(told: Mapping[str, Any]) -> None:
    with theme.card(
        "Accounts that count less",
        "An account is shown by the first letters of its keyed hash, never by name.",
    ):
        if not told["discounted"]:
            theme.prose("There are none: everybody's word counts in full.")
            return
        theme.table(
            ("Account", "Counts", "Right", "Votes", "Because"),
            [_account(each) for each in told["discounted"][:SHOWN]],
            label="Accounts that count less",
        )
        more = told["discounted_total"] - min(SHOWN, len(told["discounted"]))
        if more:
            theme.prose(f"{more:,} more: `heed feedback trust`.")


def _account(row: Mapping[str, Any]) -> list[object]:
    tone: Tone = "bad" if row["weight"] < LOW else "warn"

    def because() -> None:
        with ui.element("ul").classes("insights-reasons"):
            for reason in row["reasons"]:
                theme.text(reason, tag="li")

    return [
        partial(theme.text, row["account"], "mono small"),
        partial(theme.badge, f"{row['weight']:.0%}", tone),
        f"{row['accuracy']:.0%}",
        row["votes"],
        because,
    ]
