"""``heed feedback`` and ``heed receipt``: what people said, and what became of it."""

from typing import Annotated

import typer

from serving.commands import feedback_reports, output, transfer

app = typer.Typer(
    help="Look at what people said, take it elsewhere, or in from elsewhere.", no_args_is_help=True
)
app.command("import")(transfer.take)
app.command()(transfer.export)
app.command()(feedback_reports.signals)
app.command()(feedback_reports.trust)


@app.command()
def stats(as_json: output.Json = False) -> None:
    """Count what was said, and what became of it."""
    from feedback import harvest, receipts
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session() as session:
        totals = receipts.totals(session)
        statuses = receipts.counts(session)
        available = harvest.available(session)
    if as_json:
        output.document(
            {
                "object": "feedback.stats",
                "totals": totals,
                "receipts": statuses,
                "available": available,
            }
        )
        return
    output.facts((name, f"{number:,}") for name, number in totals.items())
    if not totals["feedback"]:
        output.say(
            f"\nNobody has said anything in {settings.feedback.data_dir} yet. Run `heed up`, chat, "
            "and send a vote to POST /v1/feedback with the id of an answer."
        )
        return
    output.say("\nWhat became of it:")
    output.facts((f"  {name}", f"{number:,}") for name, number in statuses.items() if number)
    output.say(f"\n{_next(available, statuses['review'])}")


def receipt(
    feedback_id: Annotated[
        str, typer.Argument(metavar="FEEDBACK_ID", help="As POST /v1/feedback answered it.")
    ],
    as_json: output.Json = False,
) -> None:
    """Tell what became of one piece of feedback."""
    from feedback import receipts
    from serving import wire
    from serving.commands.opening import opened

    with opened() as (_, store), store.session() as session:
        found, said = receipts.receipt(session, feedback_id)
    if as_json:
        output.document(wire.receipt(found, said.exchange_id))
        return
    output.say(f"{found.feedback_id} is {found.status.replace('_', ' ')}: {found.reason}")
    output.facts(
        [
            ("  said", ", ".join(f"{name} {value!r}" for name, value in said.body.items())),
            ("  about", said.exchange_id or f"conversation {said.conversation_id}"),
            ("  received", output.moment(said.received_at)),
            ("  accepted by", found.accepted_by),
            ("  round", found.round_id),
            ("  adapter", found.adapter_id),
            ("  judged among" if found.status == "held_out" else "  as", found.role),
            ("  counted", None if found.weight is None else f"{found.weight:.2f} of a full vote"),
            ("  last change", output.moment(found.updated_at)),
        ]
    )


def _next(available: int, review: int) -> str:
    said = f"{available:,} can be learned from now"
    if available:
        return f"{said}: `heed round run` starts a round."
    if review:
        return f"{said}; {review:,} wait for a reviewer (GET /v1/reviews/queue)."
    return f"{said}."
