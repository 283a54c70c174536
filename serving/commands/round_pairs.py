"""``heed round pairs`` and ``heed round judge``: answers before and after, compared by people."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.commands import output

if TYPE_CHECKING:
    from feedback.store import Store

RoundId = Annotated[str, typer.Argument(metavar="ID", help="As `heed round list` shows it.")]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Who judges, where several share this machine."),
]

KEYS = {
    "l": "left",
    "\x1b[D": "left",
    "r": "right",
    "\x1b[C": "right",
    "t": "tie",
    "b": "both_bad",
}
_HELP = "l or ← left, r or → right, t tie, b both bad, u undo, q quit"


def pairs(
    round_id: RoundId,
    reveal: Annotated[
        bool,
        typer.Option(
            "--reveal",
            help="Say whose answers are whose before judging has ended. It is written down, and "
            "you judge this round no more.",
        ),
    ] = False,
    name: As = None,
    as_json: output.Json = False,
) -> None:
    """Show the prompts that candidate and incumbent answer differently, and what reviewers said."""
    from serving import pair_desk
    from serving.commands.opening import opened
    from trainer import round as rounds

    with opened() as (_, store), store.session(write=reveal) as session:
        row = rounds.get(session, round_id)
        found = pair_desk.pairs(session, row, reviewer=_reviewer(name), reveal=reveal)
        session.commit()
    if as_json:
        output.document(found)
    elif not found["data"]:
        output.say(f"Round {round_id} kept no pairs: no answer differs, or none were asked for.")
    else:
        _print(found)


def judge(round_id: RoundId, name: As = None) -> None:
    """Compare answers blind, one pair after the other, with single keys."""
    from serving.commands.opening import opened
    from trainer import round as rounds

    reviewer = _reviewer(name)
    with opened() as (_, store):
        done: list[str] = []
        while (found := _next(store, round_id, reviewer))["pair"] is not None:
            _show(found)
            choice = _key()
            if choice == "quit":
                break
            if choice == "undo":
                if done:
                    _decide(store, round_id, done.pop(), reviewer, None)
                    output.say("Taken back; the pair comes again.")
                else:
                    output.say("There is nothing to take back.")
                continue
            _decide(store, round_id, found["pair"]["id"], reviewer, choice)
            done.append(found["pair"]["id"])
        if found["pair"] is None:
            output.say("There is nothing left for you to judge in this round.")
        found = _next(store, round_id, reviewer)
        output.say(f"{found['judged']} of {found['pairs']} pairs have a verdict.")
        if found["needed"]:
            output.say(f"{found['needed']} more are needed before they are counted.")
        with store.session() as session:
            waits = rounds.get(session, round_id).state == "pending"
        if waits and not found["needed"] and _confirmed():
            _count(store)
        with store.session() as session:
            row = rounds.get(session, round_id)
    if waits:
        output.say(f"Round {row.id}: {row.message}")


def lines(compared: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return what a round's report says of its pairs; nothing where it has none."""
    if not compared.get("pairs"):
        return []
    told = f"{compared['judged']} of {compared['pairs']} have a verdict"
    if not compared["ended"]:
        told += f", {compared['needed']} more are needed (`heed round judge`)"
    result = compared.get("result")
    return [("pairs", told), ("reviewers", result["sentence"] if result else None)]


def _reviewer(name: str | None) -> str:
    return "cli" if name is None else f"cli:{name}"


def _next(store: "Store", round_id: str, reviewer: str) -> dict[str, Any]:
    from serving import pair_desk
    from trainer import round as rounds

    with store.session() as session:
        row = rounds.get(session, round_id)
        return pair_desk.following(session, row, reviewer=reviewer)


def _decide(store: "Store", round_id: str, pair_id: str, reviewer: str, choice: Any) -> None:
    from serving import auth, pair_desk
    from trainer import round as rounds

    with store.session(write=True) as session:
        row = rounds.get(session, round_id)
        pair_desk.decide(session, row, pair_id, reviewer=reviewer, choice=choice)
        action = "round.pair.undo" if choice is None else "round.pair.verdict"
        auth.audit(session, actor=reviewer, action=action, subject=pair_id)
        session.commit()


def _count(store: "Store") -> None:
    from trainer import pending

    with store.session(write=True) as session:
        pending.look(session, grace_seconds=0.0)
        session.commit()


def _confirmed() -> bool:
    return typer.confirm(
        "Enough pairs have a verdict. Count them now? They cannot be changed afterwards"
    )


def _key() -> str:
    """Wait for one of the keys; where nobody sits at a terminal, read letters."""
    import click

    typer.echo(f"{_HELP}: ", nl=False)
    while True:
        pressed = click.getchar() if sys.stdin.isatty() else sys.stdin.read(1)
        if pressed in ("", "q", "\x03", "\x04"):
            typer.echo("quit")
            return "quit"
        choice = "undo" if pressed == "u" else KEYS.get(pressed)
        if choice is not None:
            typer.echo(choice.replace("_", " "))
            return choice


def _show(found: dict[str, Any]) -> None:
    pair = found["pair"]
    output.say(f"\n{found['left_to_judge']} left for you.")
    for message in pair["messages"]:
        output.say(f"{message['role']}: {message['content']}")
    output.table(("left", "right"), [(pair["left"], pair["right"])])


def _print(found: dict[str, Any]) -> None:
    open_ = "candidate" in found["data"][0]
    names = ("incumbent", "candidate") if open_ else ("left", "right")
    own = "prefers" if open_ else "your verdict"
    output.table(
        ("pair", *(("from",) if open_ else ()), "prompt", *names, own),
        [
            (
                each["id"],
                *((each["suite"] or each["source"],) if open_ else ()),
                each["messages"][-1]["content"] if each["messages"] else "(kept no longer)",
                each[names[0]],
                each[names[1]],
                ", ".join(v["prefers"].replace("_", " ") for v in each["verdicts"])
                if open_
                else each["verdict"],
            )
            for each in found["data"]
        ],
    )
    output.say("")
    output.facts(lines(found))
