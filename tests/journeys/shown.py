"""The pictures of the README and the documentation: which pages, after what, and how they are kept.

Knows nothing of servers; the pages are of a Heed that `heed demo` has taught.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Page, expect

COLOURS = 128
"""A page has a few flat colours and the edges of letters; no eye misses the others."""
QUESTION = "What does the atlas router cost?"
SUBJECT = "shipping"


@dataclass(frozen=True)
class Shown:
    """One picture.

    Attributes:
        name: of its file.
        address: below ``/console``; of a version or a round as `address` finds it.
        size: of the window, a key of `screenshots.SIZES`.
        scheme: ``light`` or ``dark``.
        before: what is done on the page first.
    """

    name: str
    address: Callable[[httpx.Client], str]
    size: str = "desk"
    scheme: str = "light"
    before: Callable[[Page], None] | None = None


def _at(path: str) -> Callable[[httpx.Client], str]:
    return lambda _: path


def _promoted(http: httpx.Client) -> str:
    """The last round that ended well."""
    rounds = http.get("/v1/rounds").raise_for_status().json()["data"]
    promoted = [each["id"] for each in rounds if each["state"] == "promoted"]
    return f"/rounds/{promoted[0]}"


def _waiting(http: httpx.Client) -> str:
    """The correction that a decision on would change most, of those about something of the shop's."""
    asked = {"q": SUBJECT, "order": "best", "kind": "correction"}
    found = http.get("/v1/reviews/queue", params=asked).raise_for_status().json()["data"]
    return f"/review?item={found[0]['id']}"


def _chatted(page: Page) -> None:
    """Ask something, and write what should have been answered."""
    page.get_by_label("Message").fill(QUESTION)
    page.get_by_label("Message").press("Enter")
    expect(page.locator("heed-feedback")).to_have_count(1, timeout=60_000)
    page.get_by_role("button", name="Suggest a better answer").click()
    box = page.get_by_label("The answer as it should have been")
    box.fill(box.input_value().replace("199", "179"))
    expect(page.get_by_role("group", name="Your changes")).to_be_visible()


def _seen(page: Page) -> None:
    """Wait for the item."""
    page.locator(".heed-review:not([hidden])").wait_for()


PICTURES = (
    Shown("chat", _at("/"), before=_chatted),
    Shown("review", _waiting, before=_seen),
    Shown("round", _promoted),
    Shown("adapters", _at("/adapters")),
    Shown("insights", _at("/insights?part=trust")),
    Shown("insights-dark", _at("/insights?part=forgetting"), scheme="dark"),
    Shown("review-phone", _waiting, size="phone", before=_seen),
)


def keep(picture: Path) -> Path:
    """Write a picture anew with few colours, as small as a PNG gets; returns its path."""
    with Image.open(picture) as shot:
        small = shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        small.save(picture, optimize=True)
    return picture


def pictures(size: str, scheme: str) -> Iterator[Shown]:
    """Those of one kind of window."""
    yield from (each for each in PICTURES if (each.size, each.scheme) == (size, scheme))
