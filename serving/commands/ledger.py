"""``heed ledger``: what every item was under each adapter since, and what a round forgot."""

from typing import TYPE_CHECKING, Annotated

import typer

from serving.commands import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.ledger import Line
    from trainer.models import LedgerEntry

SHOWN = 50
RoundId = Annotated[str, typer.Argument(metavar="ROUND", help="As `heed round list` shows it.")]

app = typer.Typer(help="What was learned, kept and forgotten, item by item.")


@app.callback(invoke_without_command=True)
def show(
    ctx: typer.Context,
    round_id: Annotated[
        str | None, typer.Option("--round", metavar="ID", help="One round's items alone.")
    ] = None,
    forgotten: Annotated[
        bool, typer.Option("--forgotten", help="Only what was right once and is wrong now.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Show every past correction and suite item, right or wrong under each adapter since."""
    if ctx.invoked_subcommand is not None:
        return
    from serving import judged_wire, wire
    from serving.commands.opening import opened
    from trainer import guarded, ledger
    from trainer import round as rounds

    with opened() as (settings, store), store.session() as session:
        items = guarded.items(session, settings.trainer, settings.feedback.data_dir)
        if round_id is not None:
            rounds.get(session, round_id)
            rows = ledger.of_round(session, round_id, forgotten=forgotten)
            asked = ledger.prompts(session, rows, items)
            entries = judged_wire.entries(rows, asked)
            lines = []
        else:
            lines = [
                line for line in ledger.history(session, items) if line.forgotten or not forgotten
            ]
            entries = [judged_wire.line(line) for line in lines]
            rows = []
    if as_json:
        output.document(wire.page(entries))
    elif not entries:
        output.say(
            "Nothing was forgotten."
            if forgotten
            else "The ledger is empty; every judged round writes into it (`heed round run`)."
        )
    elif round_id is not None:
        _round(rows, asked)
    else:
        _lines(lines)


@app.command()
def replay(round_id: RoundId, as_json: output.Json = False) -> None:
    """Put what a round forgot back into replay, until a round with it is promoted.

    An item's kin (old material with the same answer) is rehearsed first; a past correction without
    kin stops judging and is learned. Items of suites are never trained on.
    """
    from serving import auth, judged_wire, wire
    from serving.commands.opening import opened
    from trainer import guarded, ledger
    from trainer import round as rounds

    with opened() as (settings, store):
        with store.session(write=True) as session:
            rounds.get(session, round_id)
            rows = ledger.ask_replay(session, round_id)
            auth.audit(session, actor="cli", action="ledger.replay", subject=round_id)
            session.commit()
        with store.session() as session:
            items = guarded.items(session, settings.trainer, settings.feedback.data_dir)
            rows = ledger.of_round(session, round_id, forgotten=True)
            asked = ledger.prompts(session, rows, items)
    if as_json:
        output.document(wire.page(judged_wire.entries(rows, asked)))
        return
    _round(rows, asked)
    output.say(f"\n{len(rows)} forgotten item(s) are rehearsed first in the next round.")


def _round(rows: "Sequence[LedgerEntry]", asked: dict[tuple[str, str], str]) -> None:
    from serving import judged_wire

    output.table(
        ("item", "suite", "before", "now", "replay", "prompt"),
        [
            (
                row.item_id,
                row.suite,
                _mark(row.right_before),
                _mark(row.right_after),
                judged_wire.replay(row),
                asked.get((row.suite, row.item_id)),
            )
            for row in rows[:SHOWN]
        ],
    )
    lost = sum(row.right_before and not row.right_after for row in rows)
    gained = sum(row.right_after and not row.right_before for row in rows)
    output.say(f"\n{len(rows)} item(s): {lost} forgotten, {gained} gained.{_more(len(rows))}")


def _lines(lines: "Sequence[Line]") -> None:
    output.table(
        ("item", "suite", "under each adapter", "prompt"),
        [
            (
                line.item_id,
                line.suite,
                " ".join(f"{mark.adapter}:{_mark(mark.right)}" for mark in line.marks),
                line.prompt,
            )
            for line in lines[:SHOWN]
        ],
    )
    lost = sum(line.forgotten for line in lines)
    output.say(f"\n{len(lines)} item(s), {lost} forgotten.{_more(len(lines))}")


def _mark(right: bool) -> str:
    return "right" if right else "wrong"


def _more(count: int) -> str:
    return f" These are the first {SHOWN} (--json shows all)." if count > SHOWN else ""
