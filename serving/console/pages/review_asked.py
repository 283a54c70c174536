"""What the review page is asked for: the view, the lane, the filters and the item in its address.

Everything is in the address, so that a page that is loaded again, sent to somebody or saved as a
queue shows the same. Pure; draws nothing.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args
from urllib.parse import urlencode

from pydantic import ValidationError

from feedback.errors import Invalid
from feedback.review_queue import Filters, Listed, Order

View = Literal["focus", "bulk"]
LANES: tuple[Listed, ...] = ("waiting", "draft", "accepted", "refused", "edited", "disagreement")
OPEN: tuple[Listed, ...] = ("waiting", "draft", "disagreement")
"""Lanes in which something is to be decided, one item for one reviewer at a time."""
DAYS = ("since", "until")


@dataclass(frozen=True)
class Asked:
    """What an address of the page asks for.

    Attributes:
        view: one item at a time, or a list.
        lane: which items.
        order: which of them first.
        given: the other filters by their names, as they are in the address.
        item: the item to begin with.
        after: the last row of the page before; of the list alone.
    """

    view: View = "focus"
    lane: Listed = "waiting"
    order: Order = "best"
    given: Mapping[str, str] = field(default_factory=dict)
    item: str = ""
    after: str = ""

    def filters(self) -> Filters:
        """Return the filters, checked.

        Raises:
            Invalid: one of them makes no sense; it is named.
        """
        wanted: dict[str, Any] = {"lane": self.lane, **self.given}
        for name in DAYS:
            if name in wanted:
                wanted[name] = _seconds(name, wanted[name])
        try:
            return Filters.model_validate(wanted)
        except ValidationError as fault:
            first = fault.errors(include_url=False)[0]
            name = ".".join(map(str, first["loc"]))
            raise Invalid(f"The filter `{name}`: {first['msg']}.", param=name) from None

    def address(self, **changes: Any) -> str:
        """Return the address of the same with something else; None leaves a filter out."""
        own = {"view": self.view, "lane": self.lane, "order": self.order, **self.given, **changes}
        plain = {"view": "focus", "lane": "waiting", "order": "best"}
        kept = {name: said for name, said in own.items() if said and plain.get(name) != said}
        return "/console/review" + (f"?{urlencode(kept)}" if kept else "")


def asked(query: Mapping[str, str]) -> Asked:
    """Return what an address asks for; what is unknown in it counts as left out."""

    def one_of(name: str, choices: tuple[str, ...]) -> str:
        return query[name] if query.get(name) in choices else choices[0]

    names = (*Filters.model_fields.keys() - {"lane"},)
    return Asked(
        view=cast(View, one_of("view", get_args(View))),
        lane=cast(Listed, one_of("lane", LANES)),
        order=cast(Order, one_of("order", get_args(Order))),
        given={name: query[name].strip() for name in sorted(names) if query.get(name, "").strip()},
        item=query.get("item", "")[:200],
        after=query.get("after", "")[:200],
    )


def saved(filters: Mapping[str, Any]) -> str:
    """Return the address of a saved queue."""
    given = {name: str(said) for name, said in filters.items() if name != "lane"}
    for name in DAYS:
        if name in given:
            given[name] = time.strftime("%Y-%m-%d", time.gmtime(float(given[name])))
    return Asked(lane=filters.get("lane", "waiting"), given=given).address()


def _seconds(name: str, day: str) -> float:
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Invalid(f"The filter `{name}` is no date such as 2026-01-31.", param=name) from None
