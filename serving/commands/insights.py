"""``heed insights``: satisfaction over time, what people complain about, what they correct."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from serving.commands import output

DAY_SECONDS = 86_400.0
app = typer.Typer(
    help="How satisfied people are, and what they complain about.", no_args_is_help=True
)


class Every(StrEnum):
    """How long a step is."""

    day = "day"
    week = "week"
    month = "month"


class By(StrEnum):
    """What is told apart."""

    adapter = "adapter"
    language = "language"
    topic = "topic"


Days = Annotated[float, typer.Option("--days", min=0.01, max=36_500, help="So many days back.")]
Step = Annotated[Every, typer.Option("--every", help="How long a step is.")]


@app.command()
def satisfaction(
    days: Days = 30,
    every: Step = Every.day,
    by: Annotated[By | None, typer.Option("--by", help="Tell these apart.")] = None,
    as_json: output.Json = False,
) -> None:
    """Show the share of satisfied votes over time, with 95% intervals."""
    from feedback import insights
    from serving.commands.opening import opened

    now = time.time()
    with opened() as (_, store), store.session() as session:
        found = insights.satisfaction(
            session,
            since=now - days * DAY_SECONDS,
            until=now + 1,
            every=every.value,
            by=by.value if by else None,
        )
    if as_json:
        output.document(found)
        return
    if not found["votes"]:
        output.say(f"Nobody voted in the last {days:g} days. Votes come to POST /v1/feedback.")
        return
    for series in found["series"]:
        title = (
            "everybody" if series["name"] is None else f"{by.value if by else ''} {series['name']}"
        )
        output.say(f"\n{title}: {_share(series['overall'])}")
        output.table(
            ("from", "satisfied", "95% interval", "votes", "people"),
            [
                (
                    step["from"],
                    f"{step['share']:.0%}",
                    f"{step['low']:.0%} to {step['high']:.0%}",
                    step["votes"],
                    step["people"],
                )
                for step in series["steps"]
            ],
        )
    _incomplete(found)


@app.command()
def complaints(days: Days = 30, as_json: output.Json = False) -> None:
    """Show what people complain about, grouped and labelled by its terms."""
    from feedback import insights
    from serving.commands.opening import opened

    now = time.time()
    with opened() as (_, store), store.session() as session:
        found = insights.complaints(session, since=now - days * DAY_SECONDS, until=now + 1)
    if as_json:
        output.document(found)
        return
    if not found["groups"]:
        output.say(f"Nobody complained in the last {days:g} days.")
        return
    output.say(f"{found['complaints']:,} complaints of {found['people']:,} people:")
    output.table(
        ("topic", "complaints", "people", "earlier, later", "such as"),
        [
            (
                group["topic"] or "other",
                f"{group['complaints']:,}",
                f"{group['people']:,}",
                f"{group['earlier']:,}, {group['later']:,}",
                group["examples"][0]["question"],
            )
            for group in found["groups"]
        ],
    )
    _incomplete(found)


@app.command()
def corrections(days: Days = 30, every: Step = Every.day, as_json: output.Json = False) -> None:
    """Show how many corrections came over time, and what became of them."""
    from feedback import insights
    from serving.commands.opening import opened

    now = time.time()
    with opened() as (_, store), store.session() as session:
        found = insights.corrections(
            session, since=now - days * DAY_SECONDS, until=now + 1, every=every.value
        )
    if as_json:
        output.document(found)
        return
    if not found["corrections"]:
        output.say(f"Nobody corrected anything in the last {days:g} days.")
        return
    names = ("corrections", "people", "waiting", "accepted", "edited", "refused", "learned")
    output.table(
        ("from", *names),
        [(step["from"], *(step[name] for name in names)) for step in found["steps"]],
    )
    _incomplete(found)


def _share(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no votes"
    return f"{found['share']:.1%} satisfied ({found['low']:.1%} to {found['high']:.1%})"


def _incomplete(found: Mapping[str, Any]) -> None:
    if not found["complete"]:
        output.say("\nThere is more than is read at once; this is of the newest (see --days).")
