"""Chat: answers as they come, what people think of them, and two answers beside each other.

Thumbs, reasons, corrections and what is noticed are the drop-in widget's, so there is one
implementation of them; `talk` asks and answers. Knows no SQL.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from nicegui import ui

from feedback import conversations
from feedback.errors import HeedError
from feedback.ids import new_id
from serving.console import talk, theme
from serving.console.desk import Desk, go
from serving.console.registry import Page
from serving.console.talk import Answer, Round

PAINT_SECONDS = 0.06
"""A browser is sent what is new so often, and not every token for itself."""
CONVERSATION = "cnv"
_SEND = """(event) => {
  if (event.isComposing || event.shiftKey) return;
  event.preventDefault();
  heed.inTurn(emit);
}"""


async def build(desk: Desk) -> None:
    """Draw the conversation that the address names, or a new one."""
    ui.add_head_html('<script src="/widget.js" defer></script>')
    named = desk.request.query_params.get("c", "")
    person = desk.parts.person_id(None, desk.who)
    rounds = []
    if named:
        rounds = talk.restored(await desk.read(conversations.turns, named, person))
    view = Chat(desk, named if rounds else f"{CONVERSATION}_{new_id('c')}", rounds)
    view.draw(await desk.read(conversations.recent, person))


class Chat:
    """One conversation on the screen."""

    def __init__(self, desk: Desk, conversation_id: str, rounds: list[Round]) -> None:
        self._desk = desk
        self._id = conversation_id
        self._rounds = rounds
        self._stopping = asyncio.Event()
        self._busy = False

    def draw(self, recent: list[conversations.Talk]) -> None:
        """Draw everything."""
        with ui.element("div").classes("heed-chat"):
            with theme.heading("Chat"):
                self._others(recent)
                new = theme.button("New chat", icon="add")
                new.on("click", lambda: go("/console/"))
            self._log = ui.element("div").classes("heed-log")
            self._log._props |= {"role": "log", "aria-label": "Conversation"}
            with self._log:
                self._hint = theme.empty(
                    "forum",
                    "Ask something",
                    "Every answer names the version that gave it. What you say about an answer is "
                    "what the next round learns from.",
                )
                self._hint.set_visibility(not self._rounds)
                for each in self._rounds:
                    self._draw_round(each)
            self._composer()
        self._to_end()

    def _others(self, recent: list[conversations.Talk]) -> None:
        if not recent:
            return
        with theme.icon_button("history", "Earlier conversations"), ui.menu().classes("heed-menu"):
            for each in recent:
                link = ui.element("a").props(f'href="/console/?c={quote(each.id)}"')
                with link.classes("heed-item"):
                    theme.text(each.title)
                    theme.when(each.at).classes("soft small")

    def _composer(self) -> None:
        with ui.element("div").classes("heed-composer"):
            self._box = ui.textarea(placeholder="Message").props(
                'autogrow borderless autofocus aria-label="Message" rows="1"'
            )
            send = self._desk.act("client", self._ask)
            self._box.on("keydown.enter", send, js_handler=_SEND)
            self._send = theme.icon_button("arrow_upward", "Send").classes("main")
            self._send.on("click", send, js_handler="() => heed.inTurn(emit)")
            self._stop = theme.icon_button("stop", "Stop the answer", self._stopping.set)
            self._stop.classes("main").set_visibility(False)

    async def _ask(self) -> None:
        question = (self._box.value or "").strip()
        if not question or self._busy:
            return
        self._hint.set_visibility(False)
        self._box.set_value("")
        if not self._rounds:
            self._name_address()
        made = Round(question)
        with self._log, ui.element("div") as turn:
            area = self._draw_question(question)
        answer = Answer()
        if await self._answer(area, made, answer):
            self._rounds.append(made)
            with area:
                self._draw_answers(area, made)
        else:
            turn.delete()
            self._box.set_value(question)
        self._to_end()

    async def _again(self, area: ui.element, made: Round) -> None:
        if self._busy:
            return
        await talk.notice(self._desk.parts, self._desk.who, made.answer, "regenerate")
        if await self._answer(area, made, Answer(), again=True):
            made.preferred = None
        self._draw_answers(area, made)

    async def _answer(
        self, area: ui.element, made: Round, answer: Answer, *, again: bool = False
    ) -> bool:
        """Show an answer as it comes; returns whether there is one."""
        before = self._rounds[: self._rounds.index(made)] if again else self._rounds
        pieces = talk.answered(
            self._desk.parts,
            self._desk.who,
            conversation_id=self._id,
            rounds=before,
            question=made.question,
            answer=answer,
            again=again,
        )
        self._set_busy(True)
        with area, ui.element("article").classes("heed-said") as card:
            card._props["aria-busy"] = "true"
            shown = theme.answer("")
            waiting = theme.skeleton(2)
        self._to_end()
        try:
            async with aclosing(pieces) as coming:
                await self._paint(coming, answer, shown, waiting)
        except HeedError as fault:
            self._desk.fail(fault.message)
        finally:
            self._set_busy(False)
            card.delete()
        if not answer.text and answer.state != "complete":
            return False
        made.answers.append(answer)
        made.chosen = len(made.answers) - 1
        return True

    async def _paint(
        self, coming: AsyncIterator[None], answer: Answer, shown: ui.html, waiting: ui.element
    ) -> None:
        loop = asyncio.get_running_loop()
        due: asyncio.TimerHandle | None = None

        def paint() -> None:
            nonlocal due
            due = None
            waiting.set_visibility(False)
            theme.show_answer(shown, answer.text)

        try:
            async for _ in coming:
                if self._stopping.is_set() or self._desk.client.is_deleted:
                    return
                if answer.text and due is None:  # what a slow model said last is shown, too
                    due = loop.call_later(PAINT_SECONDS, paint)
        finally:
            if due is not None:
                due.cancel()

    def _draw_round(self, made: Round) -> None:
        self._draw_answers(self._draw_question(made.question), made)

    def _draw_question(self, question: str) -> ui.element:
        around = ui.element("section").classes("heed-turn")
        with around:
            with ui.element("div").classes("heed-asked"):
                theme.text(question)
            return ui.element("div").classes("heed-answers")

    def _draw_answers(self, area: ui.element, made: Round) -> None:
        area.clear()
        several = len(made.answers) > 1
        area.classes(replace="heed-answers several" if several else "heed-answers")
        with area:
            for at, each in enumerate(made.answers):
                self._draw_answer(area, made, at, each)

    def _draw_answer(self, area: ui.element, made: Round, at: int, answer: Answer) -> None:
        desk, several = self._desk, len(made.answers) > 1
        name = f"Answer {at + 1} of {len(made.answers)}" if several else "Answer"
        card = ui.element("article").classes("heed-said")
        card._props["aria-label"] = name
        with card:
            with theme.row("heed-meta"):
                _version(answer)
                if several:
                    theme.text(name, "soft small")
                if made.preferred == answer.id:
                    theme.badge("preferred", "good")
                if answer.state == "partial":
                    theme.badge("stopped", "warn")
            body = theme.answer(answer.text)
            with theme.row("heed-under"):
                self._thumbs(answer, body)
                with theme.row("end"):
                    self._copy(answer)
                    again = desk.act("client", lambda: self._again(area, made))
                    theme.icon_button("refresh", "Answer again", again)
            if several and made.preferred != answer.id:
                better = desk.act("client", lambda: self._prefer(area, made, at))
                theme.button("This one is better", better, icon="check")

    def _thumbs(self, answer: Answer, body: ui.html) -> None:
        """Put the widget below an answer, once there is a token for it."""
        place = ui.element("div").classes("heed-thumbs")

        async def grant() -> None:
            desk = self._desk
            try:
                token = await asyncio.to_thread(talk.token, desk.parts, desk.who, answer)
            except HeedError as fault:
                desk.fail(fault.message)
                return
            with place:
                widget = ui.element("heed-feedback")
            widget._props |= {
                "completion": answer.id,
                "token": token,
                "answer": f"#{body.html_id}",
                "text": answer.text,
            }

        with place:
            ui.timer(0, grant, once=True)

    def _copy(self, answer: Answer) -> None:
        copied = self._desk.act(
            "client", lambda: talk.notice(self._desk.parts, self._desk.who, answer, "copy")
        )
        made = theme.icon_button("content_copy", "Copy")
        made._props["data-copy"] = answer.text
        made.on(
            "click",
            copied,
            args=[],
            js_handler="(event) => { heed.copy(event.currentTarget); emit(); }",
        )

    async def _prefer(self, area: ui.element, made: Round, at: int) -> None:
        better = made.answers[at]
        others = [each for each in made.answers if each is not better]
        for other in others:
            await talk.prefer(self._desk.parts, self._desk.who, better, other)
        made.chosen, made.preferred = at, better.id
        self._draw_answers(area, made)
        self._desk.say("Taken down as the better answer; the conversation goes on from it.")

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self._stopping.clear()
        self._send.set_visibility(not busy)
        self._stop.set_visibility(busy)

    def _name_address(self) -> None:
        """So that a page that is loaded again shows the same conversation."""
        address = json.dumps(f"/console/?c={self._id}")
        self._run(f"history.replaceState(null, '', {address})")

    def _to_end(self) -> None:
        self._run("requestAnimationFrame(() => heed.toEnd())")

    def _run(self, code: str) -> None:
        self._desk.client.run_javascript(code)


def _version(answer: Answer) -> None:
    base = answer.adapter == "base"
    made = theme.badge("base model" if base else answer.adapter, "soft" if base else "busy")
    made._props["title"] = "The version that gave this answer"
    made.classes("mono")


PAGE = Page(path="/", title="Chat", icon="forum", needs="client", build=build, order=10)
