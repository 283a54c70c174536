"""A part of the Insights page: what each round forgot, and rehearsing it. Knows no SQL."""

from dataclasses import dataclass
from functools import partial

from nicegui import ui
from sqlmodel import Session

from serving.auth import Caller, audit
from serving.console import theme
from serving.console.desk import Desk
from serving.console.theme import Tone
from serving.context import Heed
from serving.judged_wire import replay
from trainer import guarded, ledger
from trainer import round as rounds
from trainer.models import LedgerEntry, Round

SHOWN_ROUNDS = 10
SHOWN_ITEMS = 30


@dataclass(frozen=True)
class Judged:
    """One round with what it was judged by, and what it forgot."""

    round_: Round
    items: int
    gained: int
    lost: list[LedgerEntry]


async def build(desk: Desk, _days: int) -> None:
    """Draw the newest judged rounds."""
    found, asked = await desk.read(_read, desk.parts)
    if not found:
        theme.empty(
            "psychology",
            "No round has been judged yet",
            "Every judged round writes down what was right before and after it. The first one "
            "starts by itself once there is enough feedback, or now with `heed round run`.",
        )
        return
    with theme.grid():
        theme.stat("Rounds", len(found), "the newest that were judged")
        theme.stat("Forgotten", sum(len(each.lost) for each in found), "right before, wrong after")
        theme.stat("Gained", sum(each.gained for each in found), "wrong before, right after")
        waiting = sum(replay(row) == "asked" for each in found for row in each.lost)
        theme.stat("To be rehearsed", waiting, "in the next round")
    for each in found:
        _round(desk, each, asked)


def _read(session: Session, parts: Heed) -> tuple[list[Judged], dict[tuple[str, str], str]]:
    settings = parts.settings
    found, shown = [], []
    for each in rounds.rounds(session, limit=SHOWN_ROUNDS):
        rows = ledger.of_round(session, each.id)
        if rows:
            lost = [row for row in rows if row.right_before and not row.right_after]
            gained = sum(row.right_after and not row.right_before for row in rows)
            found.append(Judged(each, len(rows), gained, lost))
            shown += lost[:SHOWN_ITEMS]
    items = guarded.items(session, settings.trainer, settings.feedback.data_dir)
    return found, ledger.prompts(session, shown, items)


def _round(desk: Desk, judged: Judged, asked: dict[tuple[str, str], str]) -> None:
    row, lost = judged.round_, judged.lost
    with theme.card():
        with ui.element("div").classes("heed-heading"):
            with ui.element("div").classes("heed-title"), theme.row():
                theme.text(row.id, "mono", "h3")
                theme.badge(row.state, "good" if row.state == "promoted" else "soft")
                theme.when(row.ended_at or row.created_at)
            unasked = [each for each in lost if replay(each) is None]
            if unasked and desk.may("operator"):
                theme.button(
                    "Rehearse what it forgot",
                    desk.act("operator", partial(_rehearse, desk, row.id, len(lost))),
                    icon="replay",
                )
        said = f"{judged.items} items judged it; {judged.gained} became right"
        theme.text(f"{said}, {len(lost)} became wrong.", "soft", "p")
        if not lost:
            theme.badge("nothing was forgotten", "good")
            return
        theme.table(
            ("Forgotten", "Suite", "What was asked", "Rehearsal"),
            [_item(each, asked) for each in lost[:SHOWN_ITEMS]],
            label=f"Forgotten by {row.id}",
        )
        if len(lost) > SHOWN_ITEMS:
            theme.prose(
                f"{len(lost) - SHOWN_ITEMS} more: `heed ledger --round {row.id} --forgotten`."
            )


def _item(row: LedgerEntry, asked: dict[tuple[str, str], str]) -> list[object]:
    wishes: dict[str | None, tuple[str, Tone]] = {
        None: ("not asked for", "soft"),
        "asked": ("in the next round", "busy"),
        "done": (f"in {row.replayed_in}", "good"),
    }
    return [
        partial(theme.text, row.item_id, "mono small"),
        row.suite,
        asked.get((row.suite, row.item_id)) or "not kept any more",
        partial(theme.badge, *wishes[replay(row)]),
    ]


async def _rehearse(desk: Desk, round_id: str, count: int) -> None:
    if not await theme.confirm(
        f"Rehearse what {round_id} forgot?",
        f"The next rounds put what is kin to these {count} before other old material, until one of "
        "them is promoted. Items of suites are never trained on themselves.",
        "Rehearse it",
    ):
        return

    def ask(session: Session, who: Caller) -> None:
        ledger.ask_replay(session, round_id)
        audit(session, actor=who.actor, action="ledger.replay", subject=round_id)

    await desk.write("operator", ask)
    desk.say("The next round rehearses it.")
    ui.navigate.reload()
