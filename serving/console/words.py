"""Text as the console shows it: Markdown that can do no harm, word differences, times. Pure.

Knows no NiceGUI. Whatever comes out as HTML has been escaped or sanitised here.
"""

import difflib
import re
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Literal

import nh3
from markdown_it import MarkdownIt

Kind = Literal["", "del", "ins"]

MOST_CHARACTERS = 100_000
"""Beyond this an answer is shown as plain text."""
MOST_WORDS = 5_000
"""Beyond this a text counts as replaced: the comparison takes quadratic time."""
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "em"),
    *("strong", "s", "ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
_WORD = re.compile(r"\s+|\w+|.", re.DOTALL)
_STEPS = ((60, 1, "second"), (3600, 60, "minute"), (86400, 3600, "hour"), (1e9, 86400, "day"))


@lru_cache(maxsize=256)
def markdown(text: str) -> str:
    """Return Markdown as HTML: no raw HTML, no images, no styles, links that tell nothing.

    Rendered first and sanitised last, so that no form of writing gets around the sanitising.
    """
    plain = text.encode(errors="replace").decode()
    if len(plain) > MOST_CHARACTERS:
        return f"<p>{escape(plain)}</p>"
    return nh3.clean(
        _renderer().render(plain),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}, "*": set()},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def changes(before: str, after: str) -> list[tuple[Kind, str]]:
    """Return what became of a text, word by word: (kind, text), with kind "" for what stayed."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if max(len(old), len(new)) > MOST_WORDS:
        return [("del", before), ("ins", after)] if before != after else [("", before)]
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    pieces = [(what == "equal", "".join(old[a:b]), "".join(new[c:d])) for what, a, b, c, d in steps]
    # A space between two changes belongs to both, or word and word would stand in turns.
    changed = [
        not same or (was.isspace() and 0 < at < len(pieces) - 1)
        for at, (same, was, _) in enumerate(pieces)
    ]
    found: list[tuple[Kind, str]] = []
    for is_change, some in groupby(zip(changed, pieces, strict=True), key=itemgetter(0)):
        told = [piece for _, piece in some]
        gone, come = "".join(was for _, was, _ in told), "".join(now for _, _, now in told)
        parts: list[tuple[Kind, str]] = (
            [("del", gone), ("ins", come)] if is_change else [("", gone)]
        )
        found += [part for part in parts if part[1]]
    return found


def changes_html(before: str, after: str) -> str:
    """Return what became of a text as HTML."""
    return "".join(
        f"<{kind}>{plain(said)}</{kind}>" if kind else plain(said)
        for kind, said in changes(before, after)
    )


def plain(value: object) -> str:
    """Return anything as HTML that shows it as it is written."""
    return escape("" if value is None else str(value).encode(errors="replace").decode())


def signed(value: float, digits: int = 1) -> str:
    """Return a change with its sign, as it is set in type."""
    return f"{value:+.{digits}f}".replace("-", "−")


def ago(then: float, now: float) -> str:
    """Return how long ago something was, or in how long it will be, in words.

    Args:
        then: Unix seconds.
        now: Unix seconds.
    """
    seconds = now - then
    if abs(seconds) < 10:
        return "just now"
    for below, size, unit in _STEPS:
        if abs(seconds) < below:
            count = int(abs(seconds) // size)
            said = f"{count} {unit}{'s' if count != 1 else ''}"
            return f"{said} ago" if seconds > 0 else f"in {said}"
    return moment(then)


def moment(then: float) -> str:
    """Return a time as a person reads it, in UTC."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%d %H:%M UTC")


@lru_cache
def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True})
    return made.enable(["table", "strikethrough"]).disable("image")
