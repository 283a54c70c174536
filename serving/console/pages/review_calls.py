"""What the review page reads and does: the functions of the API's own routes, off the event loop.

The role is looked up anew before each of them. Knows no element of the page.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydantic import ValidationError

from feedback import reservations, review_queue
from feedback.errors import Invalid, NotFound
from feedback.review_queue import Filters, Order
from serving import accounts
from serving.auth import Caller
from serving.console.desk import Desk
from serving.context import Heed
from serving.routes import review_items, review_team, reviews

P = ParamSpec("P")
T = TypeVar("T")
Item = dict[str, Any]
MOST_SKIPPED = 50


class Calls:
    """The API's functions, called as whoever has the page open."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(
        self, filters: Filters, order: Order, *, after: str = "", limit: int = 50
    ) -> tuple[list[Item], bool]:
        """Return a page of the queue, and whether there is more."""
        wanted = reviews.QueueQuery(
            **filters.model_dump(exclude_unset=True),
            order=order,
            limit=limit,
            **({"after": after} if after else {}),
        )
        page = await self._do(reviews.queue, wanted)
        return page["data"], page["has_more"]

    async def next(self, filters: Filters, order: Order, skip: Sequence[str]) -> Item | None:
        """Reserve the next item and return it."""
        wanted = reviews.NextQuery(
            **filters.model_dump(exclude_unset=True), order=order, skip=list(skip)[:MOST_SKIPPED]
        )
        found = await self._do(reviews.next_item, wanted)
        item: Item | None = found["item"]
        return item

    async def one(self, feedback_id: str) -> Item:
        """Return one item as it is now."""

        def read(parts: Heed, who: Caller) -> Item:
            with parts.store.session() as session:
                found = reservations.item(session, feedback_id)
                rows = review_queue.details(session, [found])
                return reviews.shown(parts, session, rows, who.actor)[0]

        return await self._do(read)

    async def decide(self, feedback_id: str | list[str], **fields: Any) -> list[Item]:
        """Decide; returns what became of each item."""
        try:
            body = reviews.Verdict(feedback_id=feedback_id, **fields)
        except ValidationError as fault:
            first = fault.errors(include_url=False)[0]
            raise Invalid(f"`{first['loc'][0]}`: {first['msg']}.") from None
        done = await self._do(lambda parts, who: reviews.decide(body, parts, who))
        found: list[Item] = done["reviews"]
        return found

    async def undo(self, feedback_id: str) -> list[Item]:
        """Undo the last decision on an item, with all that were made together with it."""
        return _rows(await self._named(reviews.undo, feedback_id))

    async def claim(self, feedback_id: str) -> Item:
        """Reserve an item, or renew one's reservation."""
        return await self._named(review_items.claim, feedback_id)

    async def release(self, feedback_id: str) -> None:
        """Give a reservation back."""
        await self._named(review_items.release, feedback_id)

    async def leave(self, ids: Collection[str]) -> None:
        """Give back what was on a page that is gone; whoever has signed out meanwhile may, too."""

        def work(parts: Heed, who: str) -> None:
            with parts.store.session(write=True) as session:
                for each in ids:
                    with suppress(NotFound):  # forgotten meanwhile
                        reservations.release(session, each, reviewer=who)
                session.commit()

        await asyncio.to_thread(work, self._desk.parts, self._desk.who.actor)

    async def alike(self, feedback_id: str) -> list[Item]:
        """Return what one decision would cover."""
        return _rows(await self._named(review_items.cluster, feedback_id))

    async def draft(self, feedback_id: str, text: str | None, version: int | None) -> Item | None:
        """Keep what is typed, or throw it away; returns the draft."""
        body = review_items.Draft(correction=text, version=None if text is None else version)
        done = await self._do(lambda parts, who: review_items.draft(feedback_id, body, parts, who))
        kept: Item | None = done["draft"]
        return kept

    async def comment(self, feedback_id: str, text: str) -> Item:
        """Say something to other reviewers."""
        body = review_items.Comment(text=text)
        return await self._do(
            lambda parts, who: review_items.comment(feedback_id, body, parts, who)
        )

    async def comments(self, feedback_id: str) -> list[Item]:
        """Return what reviewers said to each other."""
        return _rows(await self._named(review_items.comments, feedback_id))

    async def tag(self, feedback_id: str, *, add: str = "", remove: str = "") -> list[str]:
        """Add or remove a tag; returns those that there are now."""
        body = review_items.Tags(add=[add] if add else [], remove=[remove] if remove else [])
        done = await self._do(lambda parts, who: review_items.tags(feedback_id, body, parts, who))
        found: list[str] = done["tags"]
        return found

    async def queues(self) -> list[Item]:
        """Return saved queues."""
        return _rows(await self._do(review_team.queues))

    async def save_queue(self, name: str, filters: Filters, *, shared: bool) -> Item:
        """Save filters under a name."""
        try:
            body = review_team.Queue(name=name, filters=filters, shared=shared)
        except ValidationError:
            raise Invalid("A queue's name has 1 to 100 characters.", param="name") from None
        return await self._do(lambda parts, who: review_team.save_queue(body, parts, who))

    async def delete_queue(self, queue_id: str) -> None:
        """Delete a saved queue."""
        await self._named(review_team.delete_queue, queue_id)

    async def progress(self) -> Item:
        """Return what is done and what is left."""
        return await self._do(review_team.progress)

    async def names(self) -> dict[str, str]:
        """Return what reviewers are called, by how the record knows them."""

        def read(parts: Heed, who: Caller) -> dict[str, str]:
            with parts.store.session() as session:
                return accounts.names(session)

        return await self._do(read)

    async def _named(
        self,
        function: Callable[[str, Heed, Caller], Item],
        name: str,
    ) -> Item:
        return await self._do(lambda parts, who: function(name, parts, who))

    async def _do(
        self,
        function: Callable[Concatenate[Heed, Caller, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        who = await self._desk.allow("reviewer")
        return await asyncio.to_thread(function, self._desk.parts, who, *args, **kwargs)


def _rows(page: Item) -> list[Item]:
    found: list[Item] = page["data"]
    return found
