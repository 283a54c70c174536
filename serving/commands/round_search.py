"""``heed round search``: which rate, replay share and share of the way suit this shop.

Knows how a search is asked for and shown, not how it goes.
"""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from serving.commands import output

if TYPE_CHECKING:
    from trainer.search import Searched, Tried


def search(
    trials: Annotated[
        int, typer.Option(min=2, max=200, help="So many plans, the present one among them.")
    ] = 12,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="No trial goes on beyond this time.")
    ] = 20.0,
    as_json: output.Json = False,
) -> None:
    """Try plans on the feedback that waits, without claiming it, and say which to write down.

    Every trial is a short round on part of the new corrections; the rest of them says what it
    learned, old material what it forgot. Asked again on the same feedback, the search goes on.
    """
    from serving.commands.opening import opened
    from trainer import search as searching
    from trainer.search_trial import Bench, preview

    with opened() as (settings, store):
        plan = settings.trainer.plan()
        seen = preview(store, settings.feedback, plan)
    bench = Bench(seen, plan, settings.feedback)
    journal = searching.journal_of(settings.feedback.data_dir, seen, plan, bench.base_hash)
    try:
        with _Bar(trials, quiet=as_json) as bar:
            found = searching.search(
                bench,
                seen,
                plan,
                journal=journal,
                most_trials=trials,
                seconds=60 * minutes,
                report=bar.show,
            )
    except KeyboardInterrupt:
        output.say("Stopped. `heed round search` goes on with the trials that ended.")
        raise typer.Exit(130) from None
    finally:
        bench.close()
    items = {"corrections": len(seen.dev), "known": len(seen.known)}
    if as_json:
        output.document(_json(found, items))
    else:
        _print(found, items)


def _print(found: "Searched", items: dict[str, int]) -> None:
    output.table(
        ("plan", "learning_rate", "replay", "step_share", "learned", "forgotten", "score", "beats"),
        [
            (
                f"{each.number}{'*' if each == found.best else ''}",
                f"{each.learning_rate:.2g}",
                f"{each.replay_share:.2f}",
                f"{each.step_share:.2f}",
                f"{each.learned:+.1f}",
                f"{each.forgotten:.1f}",
                f"{each.score:+.1f} ± {each.error:.1f}",
                "" if each.number == 0 else f"{each.better:+.1f} ± {each.better_error:.1f}",
            )
            for each in found.tried
        ],
    )
    output.say(
        "\nPoints of answer probability, with one standard error: learned on "
        f"{items['corrections']} corrections that no trial saw, forgotten on {items['known']} known "
        "questions. Plan 0 is yours as it is; trials take half a round's steps."
    )
    if found.resumed:
        output.say(f"{found.resumed} of these trials are from an earlier search.")
    if found.failed:
        output.say(f"{found.failed} more did not train: their rate was too high.")
    if not found.settings:
        output.say("\nKeep your settings: nothing beats them by more than the standard error.")
        return
    output.say("\nWrite this into heed.toml; the gate still judges what comes of it:\n\n[trainer]")
    for name, value in found.settings.items():
        output.say(f"{name} = {value}")


def _json(found: "Searched", items: dict[str, int]) -> dict[str, Any]:
    return {
        "best": _row(found.best),
        "settings": found.settings,
        "tried": [_row(each) for each in found.tried],
        "failed": found.failed,
        "resumed": found.resumed,
        "items": items,
    }


def _row(tried: "Tried") -> dict[str, Any]:
    return {
        name: value if math.isfinite(value) else None  # JSON knows no infinity
        for name, value in asdict(tried).items()
    }


class _Bar:
    """A bar on a terminal; elsewhere a line per trial."""

    def __init__(self, trials: int, *, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        self._screen = output.screen(err=True)
        self._quiet = quiet
        self._trials = trials
        self._done = -1
        told = TextColumn("{task.fields[told]}", markup=False)
        self._progress = Progress(
            TextColumn("trying plans"),
            BarColumn(),
            MofNCompleteColumn(),
            Elapsed(),
            told,
            console=self._screen,
            disable=quiet or not self._screen.is_terminal,
        )
        self._task = self._progress.add_task("", total=trials, told="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, part: float, told: str) -> None:
        """Show how far it is."""
        self._progress.update(self._task, completed=done + part, told=told)
        if not self._quiet and not self._screen.is_terminal and done != self._done:
            self._screen.print(f"trial {done + 1} of {self._trials} {told}".rstrip())
        self._done = done
