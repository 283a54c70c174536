"""Review: what people said, one by one or as a list, and deciding what Heed learns from.

It is for reviewers, to look as to decide, as over the API: what people said is nobody else's to read.
The functions behind every button check that anew. Knows no SQL: what is read and done are the
functions of the API's routes.
"""

import asyncio
import time
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from feedback.errors import HeedError
from serving.console import theme
from serving.console.desk import Desk, go
from serving.console.pages import review_head
from serving.console.pages.review_asked import Asked, asked
from serving.console.pages.review_bulk import Bulk
from serving.console.pages.review_calls import Calls
from serving.console.pages.review_done import Done
from serving.console.pages.review_focus import Focus
from serving.console.registry import Page

PAUSE_SECONDS, AT_LAST_SECONDS = 0.3, 2.0
"""The figures are counted anew once nothing was decided for so long, or at last after so long: to
count is as much work as to decide, and whoever decides quickly should not wait for it."""


async def build(desk: Desk) -> None:
    """Draw the page."""
    theme.load("review.css", "review.js")
    wanted = asked(desk.request.query_params)
    calls = Calls(desk)
    filters = wanted.filters()
    told, saved = await asyncio.gather(calls.progress(), calls.queues())

    async def save(name: str, shared: bool) -> None:
        await calls.save_queue(name, filters, shared=shared)
        desk.say("The queue is saved.")
        go(wanted.address())

    async def delete(queue_id: str) -> None:
        await calls.delete_queue(queue_id)
        go(wanted.address())

    with theme.heading("Review", "What people said, and what Heed may learn from it."):
        review_head.queues(
            wanted,
            saved,
            desk.who.actor,
            save=desk.act("reviewer", save),
            delete=desk.act("reviewer", delete),
        )
        review_head.tools(wanted)
    lanes = review_head.Lanes(wanted, told)
    review_head.search(wanted)
    await _Shown(desk, calls, wanted, lanes).draw()


class _Shown:
    """The items, and what the browser tells about them."""

    def __init__(self, desk: Desk, calls: Calls, wanted: Asked, lanes: review_head.Lanes) -> None:
        self._desk, self._calls, self._asked, self._lanes = desk, calls, wanted, lanes
        kind = Focus if wanted.view == "focus" else Bulk
        self._view = kind(desk, calls, wanted, Done(), changed=self._changed, empty=self._empty)
        self._looking: asyncio.Lock = asyncio.Lock()
        self._stale = False
        self._decided_at = 0.0
        self._numbers: set[int] = set()

    async def draw(self) -> None:
        """Draw them."""
        wire = ui.element("div").props('id="heed-review-wire" hidden')
        wire.on("heed-review", self._heard, js_handler="(event) => emit(event.detail)")
        await self._view.draw()

    async def _heard(self, event: GenericEventArguments) -> None:
        told: dict[str, Any] = event.args if isinstance(event.args, dict) else {}
        number = told.get("number")
        if isinstance(number, int):  # told again, since the browser could not know that it came
            heard, number = number in self._numbers, int(number)
            self._numbers.add(number)
            self._desk.client.run_javascript(f"heedReview.heard({number})")
            if heard:
                return
        if told.get("what") == "undo":
            await self._desk.act("reviewer", self._view.undo)()
        else:
            await self._desk.act("reviewer", self._view.hear)(told)

    async def _changed(self) -> None:
        """Count anew, when deciding pauses; of several that ask, one looks for all."""
        self._stale, self._decided_at = True, time.monotonic()
        async with self._looking:
            if not self._stale:
                return
            await self._a_pause()
            self._stale = False
            try:
                self._lanes.show(await self._calls.progress())
            except HeedError:
                self._stale = True  # the figures are old until the next decision

    async def _a_pause(self) -> None:
        at_last = self._decided_at + AT_LAST_SECONDS
        while (left := min(at_last, self._decided_at + PAUSE_SECONDS) - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _empty(self) -> None:
        told = await self._calls.progress()
        review_head.nothing(self._asked, told)


PAGE = Page(
    path="/review", title="Review", icon="rate_review", needs="reviewer", build=build, order=30
)
