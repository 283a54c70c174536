"""Where the focus view's items come from: reserved one by one, or looked through as they are listed.

Knows no element of the page.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from serving.console.pages.review_asked import OPEN, Asked
from serving.console.pages.review_calls import Calls

Item = dict[str, Any]


class Supply(Protocol):
    """Gives one item after the other."""

    async def take(self, skip: Sequence[str]) -> Item | None:
        """Return the next item that is not among these; None where there is none."""

    async def again(self, item: Item) -> Item:
        """Return an item that was shown before, to be shown again."""

    async def give_back(self, item: Item) -> None:
        """Somebody else may have it."""


class Reserved:
    """What is to be decided: each item is one reviewer's for a while."""

    def __init__(self, calls: Calls, asked: Asked) -> None:
        self._calls, self._asked, self._filters = calls, asked, asked.filters()

    async def take(self, skip: Sequence[str]) -> Item | None:
        """See `Supply`."""
        return await self._calls.next(self._filters, self._asked.order, skip)

    async def again(self, item: Item) -> Item:
        """See `Supply`; it is reserved anew."""
        held = await self._calls.claim(item["id"])
        return {**item, **{name: held[name] for name in ("lane", "version", "reserved")}}

    async def give_back(self, item: Item) -> None:
        """See `Supply`."""
        await self._calls.release(item["id"])


class Listed:
    """What is decided already: page after page of the list, nothing is reserved."""

    def __init__(self, calls: Calls, asked: Asked) -> None:
        self._calls, self._asked, self._filters = calls, asked, asked.filters()
        self._rows: list[Item] = []
        self._more = True
        self._after = ""

    async def take(self, skip: Sequence[str]) -> Item | None:
        """See `Supply`."""
        while self._rows or self._more:
            if not self._rows:
                self._rows, self._more = await self._calls.listed(
                    self._filters, self._asked.order, after=self._after
                )
                self._after = self._rows[-1]["id"] if self._rows else ""
            while self._rows:
                row = self._rows.pop(0)
                if row["id"] not in skip:
                    return row
        return None

    async def again(self, item: Item) -> Item:
        """See `Supply`."""
        return item

    async def give_back(self, item: Item) -> None:
        """See `Supply`; it comes first again."""
        self._rows.insert(0, item)


def supply(calls: Calls, asked: Asked) -> Supply:
    """Return what suits the lane."""
    return Reserved(calls, asked) if asked.lane in OPEN else Listed(calls, asked)
