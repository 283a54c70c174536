"""Answers before and after a round, side by side and judged blind; afterwards, what came of it.

Until judging has ended nothing in the page says whose answer is whose. A verdict is what `POST
/v1/rounds/{id}/pairs/{pair}/verdict` takes; keys are `static/pairs.js`'s. Knows no SQL.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast, get_args

from nicegui import ui
from nicegui.events import GenericEventArguments
from sqlmodel import Session

from feedback.errors import Conflict, HeedError
from serving import pair_desk
from serving.auth import Caller
from serving.console import theme
from serving.console.desk import Desk
from serving.console.pages import rounds_pairs_view as view
from serving.console.registry import Page
from serving.routes import pairs as routes
from trainer import pair_store
from trainer import round as rounds
from trainer.models import Round
from trainer.pairs import Choice

NOTE = "Which answer is better? Judged blind: which one is new is told when judging has ended."
LOOK_SECONDS = 3.0
"""Others judge as well, and judging ends by itself."""
CHOICES: tuple[str, ...] = get_args(Choice)
_SPEAKERS = {"user": "Asked", "assistant": "Answered", "system": "Instructions", "tool": "Tool"}
_BUTTONS = (
    ("left", "A is better", "←", "ArrowLeft", "main"),
    ("tie", "Both alike", "↓", "ArrowDown", ""),
    ("both_bad", "Neither will do", "b", "b", ""),
    ("right", "B is better", "→", "ArrowRight", "main"),
)


@dataclass(frozen=True)
class Seen:
    """What the page shows, read at one time.

    Attributes:
        row: the round.
        next: the pair to judge and how far judging is, as the API says it.
        own: pairs that whoever looks has judged, the last one last.
        whole: every pair with whose answer is whose, once judging has ended.
        barred: why whoever looks judges this round no more.
    """

    row: Round
    next: dict[str, Any]
    own: list[str]
    whole: list[dict[str, Any]]
    barred: str = ""


async def build(desk: Desk) -> None:
    """Draw the page."""
    theme.load("pairs.css", "pairs.js")
    round_id = str(desk.request.path_params["round_id"])
    with theme.heading("Before and after", NOTE):
        back = ui.element("a")
        back._props["href"] = f"/console/rounds/{round_id}"
        with back:
            theme.text("Back to the round")
    await _Judging(desk, round_id).draw()


class _Judging:
    """The pair on the screen, and what becomes of it."""

    def __init__(self, desk: Desk, round_id: str) -> None:
        self._desk, self._id = desk, round_id
        self._turn = asyncio.Lock()  # one verdict after the other, as they were given
        self._card: _Card | None = None
        self._shown: object = None

    async def draw(self) -> None:
        """Draw it, and keep it up to date for as long as the page is open."""
        wire = ui.element("div").props('id="heed-pairs-wire" hidden')
        wire.on("heed-pairs", self._heard, js_handler="(event) => emit(event.detail)")
        self._far = ui.element("section").classes("heed-card")
        self._place = ui.element("div").classes("heed-page")
        self._timer = ui.timer(LOOK_SECONDS, self._look, immediate=False)
        await self._again()

    async def _look(self) -> None:
        async with self._turn:
            try:
                await self._desk.allow("reviewer")  # it shows more than is on the screen already
                await self._again()
            except HeedError:
                return  # the database is away for a moment; what is shown stays

    async def _heard(self, event: GenericEventArguments) -> None:
        told: dict[str, Any] = event.args if isinstance(event.args, dict) else {}
        what = str(told.get("what"))
        if what == "undo":
            await self._desk.act("reviewer", self._undo)()
        elif what in CHOICES:
            await self._desk.act("reviewer", self._decide)(what, str(told.get("id")))
        self._desk.client.run_javascript("heedPairs.ready()")

    async def _decide(self, what: str, pair_id: str) -> None:
        async with self._turn:
            # A key that was pressed for what is no longer on the screen judges nothing.
            if self._card is None or self._card.pair_id != pair_id:
                return
            body = routes.PairVerdict(verdict=cast(Choice, what))
            try:
                await asyncio.to_thread(
                    routes.decide, self._id, pair_id, body, self._desk.parts, self._desk.who
                )
            finally:
                await self._again()

    async def _undo(self) -> None:
        async with self._turn:
            seen = await self._desk.read(_read, self._id, self._desk.who)
            if not seen.own:
                self._desk.say("There is nothing to take back.")
                return
            try:
                await asyncio.to_thread(
                    routes.undo, self._id, seen.own[-1], self._desk.parts, self._desk.who
                )
            finally:
                await self._again()

    async def _again(self) -> None:
        self._show(await self._desk.read(_read, self._id, self._desk.who))

    def _show(self, seen: Seen) -> None:
        found, pair = seen.next, seen.next["pair"]
        now = (*found.values(), tuple(seen.own), seen.barred, seen.row.state)
        if now == self._shown:
            return
        self._shown = now
        self._far.clear()
        self._far.set_visibility(bool(found["pairs"]) and not found["ended"])
        with self._far:
            view.progress(found, found["left_to_judge"])
        if pair is None:
            self._card = None
            self._place.clear()
            with self._place:
                self._without(seen)
            if found["ended"] and seen.row.state != "open":
                self._timer.deactivate()
            return
        if self._card is None:
            self._place.clear()
            with self._place:
                self._card = _Card()
        self._card.show(pair, undo=bool(seen.own))

    def _without(self, seen: Seen) -> None:
        """What is shown where there is no pair to judge."""
        found = seen.next
        if seen.row.state == "open":
            theme.empty(
                "hourglass_empty",
                "The round still runs",
                "Once it is judged, the prompts that both versions answer differently are here.",
            )
        elif not found["pairs"]:
            theme.empty(
                "compare",
                "There is nothing to compare",
                "This round kept no pairs: it broke off, no answer differs, or "
                "`trainer.gate_reviewed_pairs` is off.",
            )
        elif seen.barred and not found["ended"]:
            theme.empty("visibility", "Somebody else judges this round", seen.barred)
        elif not found["ended"]:
            with theme.empty(
                "done_all",
                "You have judged them all",
                "They are counted a minute after the last verdict. Until then the last one can be "
                "taken back.",
            ):
                _undo_button().set_enabled(bool(seen.own))
        else:
            with theme.card("What reviewers said"):
                view.outcome(found["result"])
            view.named(seen.whole)


class _Card:
    """A prompt with two answers, and the buttons below; the next pair comes into the same places."""

    pair_id = ""

    def __init__(self) -> None:
        self._card = ui.element("section").classes("heed-card heed-pair")
        self._card._props["aria-label"] = "Two answers"
        with self._card:
            self._asked = ui.element("div").classes("heed-pair-asked")
            with ui.element("div").classes("heed-pair-sides"):
                self._sides = [_side(name) for name in ("A", "B")]
            with theme.row("heed-pair-buttons"):
                for what, label, key, shortcut, kind in _BUTTONS:
                    made = theme.button(label, kind=kind, key=key)
                    made._props |= {"data-do": what, "aria-keyshortcuts": shortcut}
                self._undo = _undo_button()

    def show(self, pair: dict[str, Any], *, undo: bool) -> None:
        """Show a pair.

        Args:
            pair: as the API shows it while it is judged.
            undo: whether there is a verdict to take back.
        """
        self._undo.set_enabled(undo)
        if pair["id"] == self.pair_id:
            return
        self.pair_id = pair["id"]
        self._card._props["data-pair"] = self.pair_id
        self._card.update()
        self._asked.clear()
        with self._asked:
            for each in pair["messages"]:
                theme.text(_SPEAKERS.get(each["role"], each["role"]), "soft small")
                if each["role"] == "user":
                    theme.text(each["content"], "asked", "p")
                else:
                    theme.answer(str(each["content"]))
        for side, name in zip(self._sides, ("left", "right"), strict=True):
            theme.show_answer(side, pair[name])


def _side(name: str) -> ui.html:
    with ui.element("article").classes("heed-pair-side") as around:
        around._props["aria-label"] = f"Answer {name}"
        theme.text(f"Answer {name}", "soft small")
        return theme.answer("")


def _undo_button() -> ui.button:
    made = theme.button("Undo", icon="undo", kind="plain", key="u")
    made._props["data-do"] = "undo"
    return made


def _read(session: Session, round_id: str, who: Caller) -> Seen:
    row, barred = rounds.get(session, round_id), ""
    listed = pair_desk.pairs(session, row, reviewer=who.actor)
    told = pair_store.verdicts(session, round_id)
    own = [each.pair_id for each in told if each.reviewer == who.actor]
    try:
        found = pair_desk.following(session, row, reviewer=who.actor)
    except Conflict as fault:
        found, barred = {"pair": None, "left_to_judge": 0}, fault.message
    data = listed.pop("data")
    return Seen(row, {**listed, **found}, own, data if listed["ended"] else [], barred)


PAGE = Page(
    path="/rounds/{round_id}/pairs",
    title="Before and after",
    icon="model_training",
    needs="reviewer",
    build=build,
    order=42,
    listed=False,
)
