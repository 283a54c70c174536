"""The console's look: the parts that pages are made of. Colours and sizes are in `console.css`.

Every part shows text as text; only `answer` and `word_diff` show HTML, which `words` has made
harmless. Knows no page and reads nothing.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from serving.console import words

Tone = Literal["", "soft", "good", "bad", "busy", "warn"]
T = TypeVar("T")
Act = Callable[..., object]

MARK = '<path d="M12 20.5C6 16.5 3 13 3 9.2A4.7 4.7 0 0 1 12 7a4.7 4.7 0 0 1 9 2.2c0 3.8-3 7.3-9 11.3z"/>'
FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="#2f5fd0">' + MARK + "</svg>"
)
UNDO_SECONDS = 10.0
_STATIC = Path(__file__).parent / "static"


def head() -> None:
    """Load the console's style sheet and script into this page."""
    ui.add_head_html(
        f'<link rel="stylesheet" href="/console/static/console.css?v={_version("console.css")}">'
        f'<script src="/console/static/console.js?v={_version("console.js")}" defer></script>'
    )


def load(*names: str) -> None:
    """Load a page's own style sheets and scripts of `static`; before anything is waited for."""
    for name in names:
        address = f"/console/static/{name}?v={_version(name)}"
        ui.add_head_html(
            f'<link rel="stylesheet" href="{address}">'
            if name.endswith(".css")
            else f'<script src="{address}" defer></script>'
        )


def text(said: object, classes: str = "", tag: str = "span") -> TextElement:
    """Show text as it is written; `classes` may be ``strong``, ``soft``, ``mono``, ``small``."""
    made = TextElement(tag=tag, text=_whole(said))
    return made.classes(classes) if classes else made


def prose(said: str, classes: str = "soft") -> ui.element:
    """Show a sentence or two; what stands between backticks is a command or a name."""
    made = ui.element("p").classes(classes)
    with made:
        for at, part in enumerate(said.split("`")):
            if part:
                text(part, tag="code" if at % 2 else "span")
    return made


def heading(said: str, note: str = "", *, level: int = 1) -> ui.element:
    """Begin a page or a section; what is put inside stands at the end of the line."""
    row = ui.element("div").classes(f"heed-heading level{level}")
    with row:
        with ui.element("div").classes("heed-title"):
            text(said, tag=f"h{level}")
            if note:
                text(note, "soft", "p")
        return ui.element("div").classes("heed-tools")


def card(title: str = "", note: str = "") -> ui.element:
    """A framed part of a page; put its content inside."""
    made = ui.element("section").classes("heed-card")
    if title:
        with made:
            text(title, tag="h2")
            if note:
                text(note, "soft", "p")
    return made


def grid() -> ui.element:
    """Cards or figures beside each other, as many as there is room for."""
    return ui.element("div").classes("heed-grid")


def row(classes: str = "") -> ui.element:
    """Things beside each other, which wrap."""
    return ui.element("div").classes(f"heed-row {classes}")


def stat(label: str, value: object, note: str = "", tone: Tone = "") -> ui.element:
    """One figure with its name, and a remark below."""
    made = ui.element("div").classes(f"heed-stat {tone}")
    with made:
        text(label, "soft small")
        text(value, "figure")
        if note:
            text(note, "soft small")
    return made


def badge(said: object, tone: Tone = "") -> TextElement:
    """A word in a pill: a state, a version, a count."""
    return text(said, f"heed-badge {tone}")


def interval(
    estimate: float,
    low: float,
    high: float,
    *,
    least: float,
    most: float,
    line: float | None = 0.0,
    allowed: tuple[float, float] | None = None,
    label: str,
    tone: Tone = "",
) -> ui.element:
    """Draw an estimate with its bounds on a scale.

    Args:
        estimate: where the dot is.
        low, high: the bounds.
        least, most: the ends of the scale.
        line: where a mark is drawn, such as no change, or the margin.
        allowed: from where to where all is well; shaded.
        label: the same in words, for those who do not see it.
        tone: its colour.
    """
    span = (most - least) or 1.0

    def at(value: float) -> float:
        return 100 * min(max((value - least) / span, 0.0), 1.0)

    made = ui.element("div").classes(f"heed-interval {tone}")
    made._props["role"], made._props["aria-label"], made._props["title"] = "img", label, label
    with made:
        if allowed is not None:
            ui.element("i").classes("allowed").style(
                f"left:{at(allowed[0]):.2f}%;width:{max(at(allowed[1]) - at(allowed[0]), 0.5):.2f}%"
            )
        if line is not None:
            ui.element("i").classes("line").style(f"left:{at(line):.2f}%")
        ui.element("i").classes("bounds").style(
            f"left:{at(low):.2f}%;width:{max(at(high) - at(low), 0.5):.2f}%"
        )
        ui.element("i").classes("dot").style(f"left:{at(estimate):.2f}%")
    return made


def bar(share: float, label: str, tone: Tone = "busy") -> ui.element:
    """Draw how far something is, from 0 to 1."""
    made = ui.element("div").classes(f"heed-progress {tone}")
    made._props |= {
        "role": "progressbar",
        "aria-label": label,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "aria-valuenow": round(100 * share),
    }
    with made:
        ui.element("i").style(f"width:{100 * min(max(share, 0.0), 1.0):.1f}%")
    return made


def facts(pairs: Sequence[tuple[str, object]]) -> ui.element:
    """Show names and values below each other; what is None is left out."""
    made = ui.element("dl").classes("heed-facts")
    with made:
        for name, value in pairs:
            if value is not None:
                text(name, tag="dt")
                text(value, tag="dd")
    return made


def folded(items: Sequence[T], draw: Callable[[T], None], *, most: int) -> None:
    """Draw the first items, and below them the others, folded together."""
    for each in items[:most]:
        draw(each)
    if len(items) > most:
        with ui.element("details").classes("heed-more"):
            text(f"And {len(items) - most} more", tag="summary")
            for each in items[most:]:
                draw(each)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, label: str) -> ui.element:
    """Show rows of text; a function among the values is called in its cell, to draw there.

    Args:
        columns: the heads.
        rows: 50 at most, or a page gets slow: offer the next ones.
        label: what the table is of.
    """
    around = ui.element("div").classes("heed-table")
    around._props |= {"role": "region", "aria-label": label, "tabindex": 0}
    with around, ui.element("table"):
        with ui.element("thead"), ui.element("tr"):
            for column in columns:
                text(column, tag="th").props('scope="col"')
        with ui.element("tbody"):
            for values in rows:
                with ui.element("tr"):
                    for value in values:
                        if callable(value):
                            with ui.element("td"):
                                value()
                        else:
                            text(value, tag="td")
    return around


def when(then: float | None) -> TextElement:
    """Show how long ago something was; the exact time is in its title."""
    if then is None:
        return text("never", "soft")
    made = text(words.ago(then, time.time()), "heed-when", "time")
    made._props["title"] = words.moment(then)
    made._props["datetime"] = str(int(then))
    return made


def empty(name: str, title: str, what_to_do: str) -> ui.element:
    """Say that there is nothing here, and what to do next; buttons may be put inside."""
    made = ui.element("div").classes("heed-empty")
    with made:
        icon(name)
        text(title, tag="h2")
        prose(what_to_do)
    return made


def skeleton(lines: int = 4) -> ui.element:
    """The outline of something that is being read."""
    made = ui.element("div").classes("heed-skeleton")
    made._props |= {"role": "status", "aria-label": "Loading"}
    with made:
        for _ in range(lines):
            ui.element("i")
    return made


def answer(markdown: str) -> ui.html:
    """Show what a model or a person wrote in Markdown."""
    made = ui.html(words.markdown(markdown), sanitize=False)  # words.markdown has sanitised it
    return made.classes("heed-answer")


def show_answer(shown: ui.html, markdown: str) -> None:
    """Show more of an answer in its place."""
    shown.set_content(words.markdown(markdown))


def word_diff(before: str, after: str) -> ui.html:
    """Show what became of a text, word by word."""
    made = ui.html(words.changes_html(before, after), sanitize=False)  # every word is escaped
    made._props |= {"role": "group", "aria-label": "Changes"}
    return made.classes("heed-diff")


def show_diff(shown: ui.html, before: str, after: str) -> None:
    """Compare anew in the same place."""
    shown.set_content(words.changes_html(before, after))


def button(
    label: str, act: Act | None = None, *, icon: str | None = None, kind: str = "", key: str = ""
) -> ui.button:
    """A button; `kind` is ``main``, ``danger``, ``plain`` or nothing, `key` the key that does it."""
    made = ui.button(label, on_click=act, icon=icon, color=None)
    made.props("flat no-caps").classes(f"heed-button {kind}")
    if key:
        made._props["aria-keyshortcuts"] = key
        with made:
            text(key, "heed-key", "kbd")
    return made


def icon_button(name: str, label: str, act: Act | None = None) -> ui.button:
    """A button that is an icon; its label is read out and shown."""
    made = ui.button(icon=name, on_click=act, color=None).props("flat round")
    made._props["aria-label"] = label
    return made.classes("heed-icon-button")


def icon(name: str) -> ui.icon:
    """An icon beside words; it is not read out."""
    return ui.icon(name).props('aria-hidden="true"')


def logo() -> ui.html:
    """The mark of Heed."""
    mark = f'<svg viewBox="0 0 24 24" width="22" height="22" fill="currentColor">{MARK}</svg>'
    return (
        ui.html(mark, sanitize=False, tag="span").classes("heed-logo").props('aria-hidden="true"')
    )


async def confirm(title: str, meaning: str, action: str, *, danger: bool = False) -> bool:
    """Ask whether to go on, and say what it means.

    Args:
        title: the question.
        meaning: what happens then, and whether it can be taken back.
        action: the word on the button.
        danger: whether it is drawn as something to think twice about.
    """
    with ui.dialog() as dialog, ui.element("div").classes("heed-dialog"):
        dialog.props(f'aria-label="{words.plain(title)}"')
        text(title, tag="h2")
        text(meaning, tag="p")
        with row("end"):
            button("Cancel", lambda: dialog.submit(False)).props("autofocus")
            button(action, lambda: dialog.submit(True), kind="danger" if danger else "main")
    chosen = await dialog
    dialog.delete()
    return bool(chosen)


def undo_toast(said: str, undo: Callable[[], Awaitable[object]]) -> None:
    """Tell that something is done, and offer for a while to take it back.

    Args:
        said: what was done.
        undo: takes it back; made by `Desk.act`, like every handler that changes something.
    """
    layer = ui.context.client.layout

    def gone() -> None:
        toast.delete()
        timer.delete()

    with layer, ui.element("div").classes("heed-undo").props('role="status"') as toast:
        text(said)

        async def back() -> None:
            toast.set_visibility(False)
            await undo()

        button("Undo", back, kind="plain", key="u")
    with layer:
        timer = ui.timer(UNDO_SECONDS, gone, once=True)


def _whole(said: object) -> str:
    """Text that every browser can be sent: half a surrogate pair is none."""
    return ("" if said is None else str(said)).encode(errors="replace").decode()


@lru_cache
def _version(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]
