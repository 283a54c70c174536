"""What the demo prints. Knows how things look and nothing of how they happen."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from serving.demo.server import Server
from trainer.starter.world import World

if TYPE_CHECKING:
    from serving.demo.people import Tally
    from serving.demo.told import Scores

NAMED = 5
ASK = '{"model": "heed", "messages": [{"role": "user", "content": "what does the aurora lamp cost?"}]}'


def opening(console: Console, data_dir: Path, rounds: int) -> None:
    """Say what is about to be seen."""
    console.print(
        Panel(
            f"A small shop's chatbot, {rounds} weeks of its life. The shop changes some facts; "
            "people notice wrong or curt answers, vote and correct; a round learns from it; a "
            "gate judges; the new version goes live while people keep chatting. Then somebody "
            "feeds it lies.\n\n"
            f"Everything it writes lies in [bold]{data_dir}[/bold]",
            title="heed demo",
            expand=False,
        )
    )


def changes(console: Console, number: int, world: World, change: dict[str, str]) -> None:
    """Name what the shop changed."""
    some = [f"{key}: {world.value(key)} → {value}" for key, value in list(change.items())[:NAMED]]
    console.rule(f"Round {number}")
    console.print(f"The shop changes {len(change)} facts: {'; '.join(some)} …")


def people(console: Console, tally: "Tally", decided: dict[str, int]) -> None:
    """Say what people did, and what the reviewer made of it."""
    console.print(
        f"{tally.asked} questions → {tally.corrections} corrections, {tally.thumbs_down} thumbs "
        f"down, {tally.thumbs_up} up, {tally.copies} copied, {tally.regenerated} asked again. "
        f"Reviewed: {decided['accept']} accepted, {decided['refuse']} refused."
    )


def bad_batch(console: Console, lies: Sequence[tuple[str, str]]) -> None:
    """Show some of what is wrong on purpose."""
    console.rule("A bad batch")
    console.print(f"{len(lies)} corrections that are wrong on purpose, such as:")
    for question, false in lies[:NAMED]:
        console.print(f"  “{question}” → “{false}”", style="red")


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show a round's bar; yields a function that takes its row."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("queued", total=1.0, said="")

        def tell(row: dict[str, Any]) -> None:
            said = row["message"] if row["state"] == "open" else row["state"]
            bar.update(task, completed=row["progress"], description=row["stage"], said=said[:60])

        yield tell


def table(console: Console, title: str, scores: "Scores", outcome: dict[str, Any]) -> None:
    """Show what one step did."""
    made = Table(title=f"{title}: {outcome['state']}")
    for heading in ("held-out questions", "before", "after"):
        made.add_column(heading, justify="left" if heading.startswith("held") else "right")
    for name in ("changed", "unchanged", "polite"):
        values = [getattr(scores, f"{name}_{when}") for when in ("before", "after")]
        label = f"{name} answers" if name == "polite" else f"{name} facts right"
        made.add_row(label, *(f"{value:.1%}" for value in values))
    made.add_section()
    made.add_row("requests meanwhile", "", str(scores.requests))
    made.add_row("  of them failed", "", str(scores.failed))
    made.add_row("seconds", "", f"{scores.seconds:.1f}")
    console.print(made)
    console.print(outcome["message"], style="green" if scores.promoted else "yellow")


def caught(console: Console, items: Sequence[dict[str, str]]) -> None:
    """Name the items that caught a bad batch."""
    for item in items[:NAMED]:
        console.print(
            f"  {item['id']}: “{item['prompt']}” should say “{item['expected']}”; the candidate "
            f"said “{item['answer']}”",
            style="yellow",
        )


def rollback(console: Console, told: dict[str, Any]) -> None:
    """Show the way back and forth."""
    console.rule("Rollback")
    console.print(
        f"{told['from']} → {told['to']} in {told['seconds']:.2f} s: "
        f"{told['right_before']:.1%} right → {told['right_rolled_back']:.1%}. "
        f"And forward again in {told['forward_seconds']:.2f} s: "
        f"{told['right_rolled_forward']:.1%}."
    )


def closing(
    console: Console, improved: bool, seconds: float, server: Server, *, stays: bool
) -> None:
    """Say how it ended and where to look next."""
    verdict = (
        "[green]The chatbot learned, lost no more than the gate allows, and refused the lies.[/green]"
        if improved
        else "[red]The loop did not improve the chatbot this time; the tables say where.[/red]"
    )
    lines = [verdict, f"{seconds:.0f} seconds."]
    if stays:
        lines += [
            "",
            f"The server is still up:  API {server.url}/v1   docs {server.url}/docs",
            f"  console {server.url}/console/",
            "Ask it something:",
            f"  curl {server.url}/v1/chat/completions -H 'content-type: application/json' \\",
            f"    -d '{ASK}'",
            "Ctrl-C ends it.",
        ]
    lines.append(
        f"Later: HEED_FEEDBACK__DATA_DIR={server.data_dir} {command()} up serves what it learned."
    )
    console.print(Panel("\n".join(lines), expand=False))


def command() -> str:
    """How this `heed` is called from here: by its path where its environment is not active."""
    program = Path(sys.executable).with_name("heed")
    if shutil.which("heed") is not None or not program.exists():
        return "heed"
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
