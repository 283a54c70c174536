"""One item after the other: the card on the screen, the one that is ready behind it, and deciding.

`static/review.js` shows the card behind at once; what is told here afterwards is what the server
makes of it. Knows no SQL, and nothing of how a card looks.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from nicegui import Client, ui

from feedback.errors import Conflict, HeedError, Invalid
from serving.console import theme
from serving.console.desk import Desk
from serving.console.pages.review_asked import OPEN, Asked
from serving.console.pages.review_calls import MOST_SKIPPED, Calls
from serving.console.pages.review_card import Card
from serving.console.pages.review_done import MOST_KEPT, Done
from serving.console.pages.review_supply import supply

log = logging.getLogger("heed.console")

Item = dict[str, Any]
VIEW = "heed.review.view"
"""Where a page's storage has its view, if that keeps items from others."""
RENEW_AFTER_SECONDS = 60.0
"""What waited so long behind the card on the screen is reserved anew when it comes up."""


class Focus:
    """The focus view.

    Args:
        desk: of the page.
        calls: what it can ask for.
        asked: the lane and its filters.
        done: what was decided here, to be undone.
        changed: called after each decision.
        empty: draws what is shown where nothing is left.
    """

    def __init__(
        self,
        desk: Desk,
        calls: Calls,
        asked: Asked,
        done: Done,
        *,
        changed: Callable[[], Awaitable[None]],
        empty: Callable[[], Awaitable[None]],
    ) -> None:
        self._desk, self._calls, self._asked = desk, calls, asked
        self._done, self._changed, self._draw_empty = done, changed, empty
        self._supply = supply(calls, asked)
        self._current: Card | None = None
        self._ahead: Card | None = None
        self._before: deque[Item] = deque(maxlen=MOST_KEPT)
        self._under_way: list[str] = []
        self._names: dict[str, str] = {}
        self._filling = asyncio.Lock()
        self._writing = asyncio.Lock()  # drafts in their turn, and no draft after its decision

    async def draw(self) -> None:
        """Draw the first item, and make the second ready."""
        self._names = await self._calls.names()
        self._holder = ui.element("div").classes("heed-review-holder")
        with self._holder, ui.element("div").classes("heed-review-wait heed-card"):
            theme.skeleton(6)
        self._nothing = ui.element("div")
        if self._asked.lane in OPEN:
            self._desk.client.storage[VIEW] = self
            self._desk.client.on_delete(self._leave_all)
        if self._asked.item:
            try:
                item = await self._calls.one(self._asked.item)
                if item["lane"] == "gone":
                    raise Invalid("This was withdrawn or forgotten.")
                async with self._filling:
                    if self._asked.lane in OPEN:
                        self._refuse_others(item)
                        item = await self._supply.again(item)
                    self._current = await self._card(item)
            except HeedError as fault:
                self._desk.fail(fault.message)
        await self._fill()

    def _refuse_others(self, item: Item) -> None:
        held = item["reserved"]
        if held and held["by"] != self._who:
            minutes = max(1, round((held["until"] - time.time()) / 60))
            raise Conflict(
                f"{self._names.get(held['by'], held['by'])} has this item for {minutes} more "
                f"minute{'s' if minutes > 1 else ''}; here is the next one."
            )

    async def hear(self, told: Item) -> None:
        """Do what the browser tells."""
        what, named = str(told.get("what")), str(told.get("id"))
        text = told.get("text")
        text = None if text is None else str(text)
        if what == "decide":
            card = self._named(named)
            if card is not None:
                await self._decide(
                    card,
                    decision=str(told.get("decision")),
                    reason=str(told.get("reason") or ""),
                    text=text,
                    together=bool(told.get("together")),
                )
        elif what == "skip":
            await self._skip(named)
        elif what == "back":
            await self._back()
        elif (card := self._named(named)) is not None:
            await self._about(card, what, text or "")

    async def bring_back(self, item: Item, *, text: str | None = None, reason: str = "") -> None:
        """Show an item again that was gone; what was on the screen waits behind it."""
        async with self._filling:
            if self._ahead is not None:
                ahead, self._ahead = self._ahead, None
                ahead.element.delete()
                if ahead.id != item["id"]:
                    await self._supply.give_back(ahead.item)
            shown, self._current = self._current, await self._card(item, text=text, reason=reason)
            if shown is not None:
                # Drawn anew: the browser may have shown or hidden the old one by itself.
                shown.element.delete()
                if shown.id != item["id"]:
                    self._ahead = await self._card(shown.item, hidden=True)
            self._settle()

    async def undo(self) -> None:
        """Take back the last decision, and show its item with what was typed."""
        async with self._writing:  # a decision that is under way is the one that is meant
            decided = self._done.take()
            self._done.hide()
            if decided is None:
                self._desk.say("There is nothing to undo.")
                return
            await self._calls.undo(decided.item["id"])
        item = await self._supply.again(await self._calls.one(decided.item["id"]))
        await self.bring_back(item, text=decided.text)
        await self._changed()

    async def _decide(
        self, card: Card, *, decision: str, reason: str, text: str | None, together: bool
    ) -> None:
        if card is not self._current:
            return
        covered = {each["id"] for each in card.alike} if together else {card.id}
        self._leave(card)
        if self._current is not None and self._current.id in covered:
            self._current.element.delete()
            self._current = None
        self._under_way.append(card.id)
        try:
            async with self._writing:
                after = await self._calls.decide(
                    card.id,
                    decision=decision,
                    correction=text if decision == "edit" else None,
                    reason=reason.strip() or None,
                    version=card.item["version"],
                    cluster=together and len(covered) > 1,
                )
                self._done.add(card.item, decision, text, len(after), lane=after[0]["lane"])
        except HeedError as fault:
            self._under_way.remove(card.id)
            self._desk.fail(f"The decision did not go through. {fault.message}")
            await self.bring_back(await self._now(card.item), text=text, reason=reason)
            return
        self._under_way.remove(card.id)
        self._run(f"heedReview.done({json.dumps(self._who)}, {json.dumps(card.id)})")
        await self._fill()  # what is waited for comes before the figures
        await self._changed()

    async def _now(self, item: Item) -> Item:
        """What became of an item whose decision failed; as it was where that is not known."""
        try:
            return await self._calls.one(item["id"])
        except HeedError:
            return item

    async def _skip(self, named: str) -> None:
        card = self._current
        if card is None or card.id != named:
            return
        self._before.append(card.item)
        self._leave(card)
        await self._calls.release(card.id)
        await self._fill()

    async def _back(self) -> None:
        if not self._before:
            self._desk.say("This is the first one.")
            return
        item = self._before.pop()
        await self.bring_back(await self._supply.again(item))

    async def _about(self, card: Card, what: str, text: str) -> None:
        """What is done around an item, short of deciding it."""
        if what == "draft":
            card.changed(text)
            async with self._writing:
                if self._named(card.id) is not card:
                    return
                version = (card.item["draft"] or {}).get("version", 0)
                card.item["draft"] = await self._calls.draft(card.id, text, version)
            card.told("Your draft is kept")
            self._run(f"heedReview.saved({json.dumps(card.id)}, {json.dumps(text)})")
            if card.item["reserved"]:
                left = self._desk.parts.settings.feedback.review_reservation_seconds
                card.item["reserved"]["until"] = time.time() + left
                card.hold(card.item)
        elif what == "discard":
            await self._calls.draft(card.id, None, None)
            card.item["draft"] = None
            await self.bring_back(card.item)
        elif what == "claim":
            card.hold(await self._calls.claim(card.id))
        elif what == "undo-this":
            await self._calls.undo(card.id)
            self._leave(card)
            self._desk.say("The decision is taken back; the item waits again.")
            await self._fill()
            await self._changed()
        elif what in ("tag", "untag"):
            change = {"add" if what == "tag" else "remove": text}
            card.item["tags"] = await self._calls.tag(card.id, **change)
            card.draw_tags(card.item["tags"])
        elif what == "comment":
            await self._calls.comment(card.id, text)
            card.draw_comments(await self._calls.comments(card.id))

    def _named(self, named: str) -> Card | None:
        shown = (self._current, self._ahead)
        return next((each for each in shown if each and each.id == named), None)

    def _leave(self, card: Card) -> None:
        """Take a card off the screen; the one behind comes up."""
        card.element.delete()
        self._current, self._ahead = self._ahead, None
        self._settle()

    def _settle(self) -> None:
        """Show the current card, and name it in the address."""
        if self._current is None:
            return
        self._nothing.clear()
        self._current.show()
        address = self._asked.address(item=self._current.id)
        self._run(f"heedReview.at({json.dumps(address)})")

    async def _fill(self) -> None:
        """See that there is a card on the screen and one behind it, as far as there are items."""
        async with self._filling:
            if self._current is None:
                item = await self._supply.take(self._passed())
                if item is not None:
                    self._current = await self._card(item)
                    self._settle()
                else:
                    self._holder.classes("none")
                    self._nothing.clear()
                    with self._nothing:
                        await self._draw_empty()
                    return
            else:
                await self._renew(self._current)
            self._holder.classes(remove="none")
            if self._ahead is None:
                current = self._current
                alike = [each["id"] for each in current.alike][: MOST_SKIPPED // 2]
                item = await self._supply.take([current.id, *alike, *self._passed()])
                if item is not None and self._ahead is None and self._current is current:
                    self._ahead = await self._card(item, hidden=True)
                elif item is not None:
                    await self._supply.give_back(item)
        if self._desk.client.is_deleted:
            await self._leave_all()

    def _held(self) -> set[str]:
        return {each.id for each in (self._current, self._ahead) if each}

    async def _leave_all(self) -> None:
        """The page is closed for good: others may have what it held, if no other page shows it.

        A page that was loaded again, or a second one, shows the same to the same person; none of
        them takes anything while this looks.
        """
        pages = [each for each in Client.instances.values() if each is not self._desk.client]
        views = [each.storage[VIEW] for each in pages if VIEW in each.storage]
        own = [each for each in views if each._who == self._who]
        async with AsyncExitStack() as still:
            for each in own:
                await still.enter_async_context(each._filling)
            elsewhere = {name for each in own for name in each._held()}
            try:
                await self._calls.leave(sorted(self._held() - elsewhere))
            except HeedError as fault:  # nobody is there to be told; it ends by itself
                log.info("what a closed page had reserved was not given back: %s", fault.message)

    async def _renew(self, card: Card) -> None:
        held = card.item["reserved"]
        full = self._desk.parts.settings.feedback.review_reservation_seconds
        if held and held["until"] - time.time() < full - RENEW_AFTER_SECONDS:
            try:
                card.hold(await self._calls.claim(card.id))
            except HeedError as fault:
                self._desk.fail(fault.message)

    def _passed(self) -> list[str]:
        return [*self._under_way, *(each["id"] for each in reversed(self._before))]

    async def _card(
        self, item: Item, *, hidden: bool = False, text: str | None = None, reason: str = ""
    ) -> Card:
        alike = await self._calls.alike(item["id"]) if item["alike"] > 1 else []
        comments = await self._calls.comments(item["id"]) if item["comments"] else []
        with self._holder:
            return Card(
                item,
                who=self._who,
                hidden=hidden,
                alike=alike,
                comments=comments,
                names=self._names,
                text=text,
                reason=reason,
            )

    @property
    def _who(self) -> str:
        return self._desk.who.actor

    def _run(self, code: str) -> None:
        self._desk.client.run_javascript(code)
