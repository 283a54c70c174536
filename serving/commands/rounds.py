"""``heed round``: a round now, and the history of rounds."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.commands import compare, output, round_pairs, round_search

if TYPE_CHECKING:
    from trainer.models import Round

RoundId = Annotated[str, typer.Argument(metavar="ID", help="As `heed round list` shows it.")]

app = typer.Typer(help="Learn from the feedback, and look at how that went.", no_args_is_help=True)


@app.command()
def run(
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ADAPTER",
            help="Train on from this adapter, such as a checkpoint of `heed pretrain`, and not "
            "from the live one.",
        ),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Run a round now, or go on with one whose process died.

    Fails only where the round failed or was cancelled.
    """
    from serving import wire
    from serving.commands import round_run
    from serving.commands.opening import opened

    with opened() as (settings, store):
        row = round_run.run(settings, store, start_from=start_from, quiet=as_json)
    if as_json:
        output.document(wire.round_(row))
    else:
        _print(row)
    if row.state in ("failed", "cancelled"):
        raise typer.Exit(1)


@app.command("list")
def index(
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many at most.")] = 20,
    as_json: output.Json = False,
) -> None:
    """List rounds, newest first."""
    from serving import wire
    from serving.commands.opening import opened
    from trainer import round as rounds

    with opened() as (settings, store), store.session() as session:
        rows = rounds.rounds(session, limit=limit + 1)
    shown, more = rows[:limit], len(rows) > limit
    if as_json:
        output.document(wire.page([wire.round_(row) for row in shown], more=more))
        return
    if not rows:
        output.say(
            f"No rounds in {settings.feedback.data_dir} yet. `heed round run` starts one once "
            "there is feedback to learn from (`heed feedback stats`)."
        )
        return
    output.table(
        ("id", "state", "opened", "learned from", "adapter"),
        [
            (
                row.id,
                f"{row.stage} {row.progress:.0%}" if row.state == "open" else row.state,
                output.moment(row.created_at),
                _learned_from(row),
                row.candidate_id,
            )
            for row in shown
        ],
    )
    if more:
        output.say(f"\nThese are the last {limit}; --limit shows more.")


@app.command()
def show(round_id: RoundId, as_json: output.Json = False) -> None:
    """Show a round: what it learned from, how its loss fell, how it was judged, what caught it."""
    from serving import pairs_wire, wire
    from serving.commands.opening import opened
    from trainer import curve
    from trainer import round as rounds

    with opened() as (settings, store), store.session() as session:
        row = rounds.get(session, round_id)
        compared = pairs_wire.summary(session, row)
    drawn = curve.drawn(settings.feedback.data_dir, row.id)
    if as_json:
        output.document(wire.round_(row, curve=drawn, pairs=compared))
    else:
        _print(row, drawn, compared)


@app.command()
def cancel(round_id: RoundId, as_json: output.Json = False) -> None:
    """End a round, or ask its process to; its feedback waits for the next one."""
    from serving import auth, wire
    from serving.commands.opening import opened
    from trainer import leftovers, progress
    from trainer import round as rounds

    with opened() as (_, store):
        with store.session(write=True) as session:
            row = rounds.cancel(store, session, round_id)
            auth.audit(session, actor="cli", action="round.cancel", subject=row.id)
            session.commit()
        leftovers.clear(store, row.id)
    if as_json:
        output.document(wire.round_(row))
    elif row.state == "open":
        output.say(
            f"Round {row.id} stops within a few seconds. If its process has died, ask again in "
            f"{progress.LEASE_SECONDS:.0f} seconds: that ends it."
        )
    else:
        output.say(f"Round {row.id} is {row.state}: {row.message}")


app.command()(round_search.search)
app.command()(compare.compare)
app.command()(round_pairs.pairs)
app.command()(round_pairs.judge)


def _learned_from(row: "Round") -> str | None:
    if read := row.counts.get("documents"):
        return f"{read['files']} document(s)"
    return f"{row.counts['feedback']} feedback" if "feedback" in row.counts else None


def _print(
    row: "Round",
    curve: list[dict[str, Any]] | None = None,
    compared: dict[str, Any] | None = None,
) -> None:
    from serving.commands import round_report

    round_report.show(row, curve or [], compared or {})
