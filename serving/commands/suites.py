"""``heed suite``: the suites that no round may break, as a product team writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.commands import output

if TYPE_CHECKING:
    from feedback.store import Store
    from serving.settings import Settings
    from trainer.guarded import Kept
    from trainer.suite_run import Ran
    from trainer.suites import Item

SHOWN = 20
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `heed suite list` shows it.")]

app = typer.Typer(help="Look after the suites that no round may break.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON lines.")],
    name: Annotated[
        str | None, typer.Option(help="Put all items into one suite of this name.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Add the suites of a file; every round is judged by them from now on.

    An item has `prompt` (or `messages`), `expected` and `check`: exact, label, contains, regex,
    refused, json_schema, token_f1 or judge. A suite is of kind protected, safety, honeypot or sycophancy.
    """
    from serving import auth, judged_wire, wire
    from serving.commands.opening import opened
    from trainer import guarded, suite_files

    items = suite_files.load(file, suite=name or file.stem)
    with opened() as (settings, store):
        with store.session(write=True) as session:
            rows = guarded.add(session, items, name=name)
            added = {row.name for row in rows}
            for row in rows:
                auth.audit(session, actor="cli", action="suite.add", subject=row.name)
            session.commit()
        kept = [each for each in _kept(settings, store) if each.name in added]
    if as_json:
        output.document(wire.page([judged_wire.suite(each) for each in kept]))
        return
    for each in kept:
        output.say(f"Added {each.name!r} ({each.kind}) with {len(each.items)} item(s).")
    if settings.trainer.judge_url is None and any(item.check == "judge" for item in items):
        output.say(
            "Items with the check `judge` count as not checked until trainer.judge_url and "
            "trainer.judge_model are set."
        )


@app.command("list")
def index(as_json: output.Json = False) -> None:
    """List the suites, those of files, of the starter and of past corrections, too."""
    from serving import judged_wire, wire
    from serving.commands.opening import opened

    with opened() as (settings, store):
        kept = _kept(settings, store)
    if as_json:
        output.document(wire.page([judged_wire.suite(each) for each in kept]))
        return
    output.table(
        ("suite", "kind", "kept in", "items"),
        [(each.name, each.kind, _ORIGINS[each.origin], len(each.items)) for each in kept],
    )
    if not any(each.items for each in kept):
        output.say("\nNothing is protected yet; `heed suite add FILE` adds a suite.")


@app.command()
def show(name: Name, as_json: output.Json = False) -> None:
    """Show a suite's items."""
    from serving import judged_wire
    from serving.commands.opening import opened
    from trainer import guarded

    with opened() as (settings, store), store.session() as session:
        kept = guarded.get(session, settings.trainer, settings.feedback.data_dir, name)
    if as_json:
        output.document(judged_wire.suite(kept, whole=True))
        return
    output.say(f"{kept.name}: {kept.kind}, kept in {_ORIGINS[kept.origin]}.\n")
    if not kept.items:
        output.say("It is empty; promoted rounds add the corrections that judged them.")
        return
    output.table(
        ("item", "check", "prompt", "expected"),
        [
            (item.id, item.check, item.messages[-1]["content"], item.expected)
            for item in kept.items[:SHOWN]
        ],
    )
    if len(kept.items) > SHOWN:
        output.say(f"\nThese are {SHOWN} of {len(kept.items)} (--json shows all).")


@app.command()
def run(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Every suite by default.")
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(metavar="ID", help="This adapter, or `base`; what is live by default."),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Ask a model the suites, outside of any round, and say what passes."""
    from serving import wire
    from serving.commands.opening import opened
    from trainer import guarded, suite_run
    from trainer.judge_model import JudgeModel

    with opened() as (settings, store):
        with store.session() as session:
            data_dir = settings.feedback.data_dir
            kept = (
                [guarded.get(session, settings.trainer, data_dir, name) for name in names]
                if names
                else guarded.suites(session, settings.trainer, data_dir)
            )
        items = [item for each in kept for item in each.items]
        if not items:
            if as_json:
                output.document({**wire.page([]), "adapter": adapter})
            else:
                output.say("These suites have no items; `heed suite add FILE` adds some.")
            return
        asked, answers = _answers(settings, store, adapter, items, quiet=as_json)
    judge = JudgeModel(settings.trainer.judge_url, settings.trainer.judge_model)
    ran = suite_run.run(lambda _: answers, items, judge=judge.verdicts)
    if as_json:
        page = wire.page([_ran(each) for each in ran])
        output.document({**page, "adapter": asked, "judge_fault": judge.fault or None})
        return
    _print(ran, asked, judge.fault)


@app.command()
def remove(name: Name, as_json: output.Json = False) -> None:
    """Remove an added suite; rounds are no longer judged by it."""
    from serving import auth
    from serving.commands.opening import opened
    from trainer import guarded

    with opened() as (_, store), store.session(write=True) as session:
        row = guarded.remove(session, name)
        count = len(row.items)
        auth.audit(session, actor="cli", action="suite.remove", subject=name)
        session.commit()
    if as_json:
        output.document({"id": name, "object": "suite", "deleted": True})
    else:
        output.say(f"Removed {name!r} with {count} item(s).")


_ORIGINS = {
    "added": "the database",
    "file": "the protected file",
    "starter": "the starter",
    "grown": "approved corrections",
}


def _kept(settings: "Settings", store: "Store") -> "list[Kept]":
    from trainer import guarded

    with store.session() as session:
        return guarded.suites(session, settings.trainer, settings.feedback.data_dir)


def _answers(
    settings: "Settings",
    store: "Store",
    adapter: str | None,
    items: "Sequence[Item]",
    *,
    quiet: bool,
) -> tuple[str, list[str]]:
    """Which model was asked, and what it said."""
    from rich.progress import Progress

    from trainer import registry
    from trainer.base_folder import resolve
    from trainer.ledger import BASE
    from trainer.policy import Policy

    with store.session() as session:
        deployment = registry.live(session)
        wanted = adapter or (deployment.live_id if deployment else None) or BASE
        row = registry.get(session, wanted) if wanted != BASE else None
    folder = registry.verify(settings.feedback.data_dir, row) if row is not None else None
    policy = Policy.load(resolve(settings.trainer.base_model), threads=settings.trainer.threads)
    if folder is not None:
        policy.attach("asked", folder)
    with Progress(console=output.screen(err=True), transient=True, disable=quiet) as bar:
        task = bar.add_task(f"Asking {wanted}", total=len(items))
        said = policy.answers(
            [item.messages for item in items],
            adapter="asked" if folder is not None else None,
            max_new_tokens=settings.trainer.max_new_tokens,
            report=lambda done, _: bar.update(task, completed=done),
        )
    return wanted, said


def _ran(each: "Ran") -> dict[str, Any]:
    return {
        "id": each.suite,
        "object": "suite.run",
        "kind": each.kind,
        "right": each.right,
        "items_count": each.items,
        "unchecked": each.unchecked,
        "share": each.right / each.items if each.items else None,
        "lower": each.lower,
        "upper": each.upper,
        "failed": [
            {
                "item": item.id,
                "prompt": item.messages[-1]["content"],
                "expected": item.expected,
                "answer": answer,
            }
            for item, answer in each.failed
        ],
    }


def _print(ran: "Sequence[Ran]", asked: str, fault: str) -> None:
    output.say(f"{asked}:")
    output.table(
        ("suite", "kind", "right", "share", "95% interval", "not checked"),
        [
            (
                each.suite,
                each.kind,
                f"{each.right} of {each.items}",
                f"{each.right / each.items:.1%}" if each.items else "",
                f"{each.lower:.1%} to {each.upper:.1%}" if each.items else "",
                each.unchecked or "",
            )
            for each in ran
        ],
    )
    if fault:
        output.say(f"\nNot checked: {fault}.")
    failed = [pair for each in ran for pair in each.failed]
    if failed:
        output.say(f"\nWhat did not pass ({len(failed)}):")
    for item, answer in failed[:SHOWN]:
        output.say(f"  {item.suite} {item.id}: {item.messages[-1]['content']}")
        output.say(f"    said:   {answer}")
        output.say(f"    wanted: {item.expected}")
    if len(failed) > SHOWN:
        output.say(f"  … and {len(failed) - SHOWN} more (--json shows all).")
