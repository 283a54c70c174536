"""Two versions beside each other: on the items that judged both, and by what people preferred.

Reads the ledger and the preferences when it is asked to. Knows no page.
"""

from collections.abc import Sequence
from typing import Any

from nicegui import ui
from sqlmodel import Session

from serving import preferences
from serving.console import deploying, lineage, offers, theme, versus, words
from serving.console.deploying import Then
from serving.console.desk import Desk
from serving.console.versus import Suite
from serving.context import Heed
from trainer import guarded, ledger
from trainer.ab import BASE

SHOWN_ITEMS = 10


def comparison(desk: Desk, names: Sequence[str], then: Then, live: str | None) -> None:
    """Draw the choice of two versions, and below it how they compare.

    Args:
        desk: of the visit.
        names: of the adapters, the newest first.
        then: called when a comparison on people has begun.
        live: the live adapter, which the newest one is compared with unless it is that itself.
    """
    options = {BASE: "base model", **{name: name for name in names}}
    second = names[0]
    others = [name for name in (live or BASE, *names, BASE) if name != second]
    with theme.card("Compare two", "On every item that judged both, and by what people preferred."):
        with ui.element("div").classes("heed-choose"):
            a = ui.select(options, value=others[0], label="First").props("outlined dense")
            b = ui.select(options, value=second, label="Second").props("outlined dense")

        async def show() -> None:
            found, ranked = await desk.read(_read, desk.parts, str(a.value), str(b.value))
            shown.clear()
            with shown:
                _draw(str(a.value), str(b.value), found, ranked)

        async def on_people() -> None:
            await deploying.compare(desk, str(a.value), str(b.value), then)

        with theme.row():
            theme.button("Compare", desk.act("reviewer", show), icon="compare_arrows", kind="main")
            offers.offer(desk, "operator", "Try both on people (A/B)", on_people)
            offers.explain(desk, "operator")
        shown = ui.element("div").classes("heed-page").props('aria-live="polite"')


def _read(
    session: Session, parts: Heed, a: str, b: str
) -> tuple[list[Suite], dict[str, dict[str, Any]]]:
    settings = parts.settings
    items = guarded.items(session, settings.trainer, settings.feedback.data_dir)
    lines = ledger.history(session, items)
    ranked = {row["id"]: row for row in preferences.ranking(session, a)["data"]}
    return versus.suites(lines, a, b), ranked


def _draw(a: str, b: str, found: list[Suite], ranked: dict[str, dict[str, Any]]) -> None:
    if a == b:
        theme.prose("Choose two different versions.")
        return
    if not found:
        theme.prose(
            "No item judged both. Versions meet where one is the parent of the other, or where both "
            "were judged against the same one."
        )
    with ui.element("div").classes("heed-rules").props('role="list"'):
        for each in found:
            _suite(a, b, each)
    _preferred(a, b, ranked)


def _suite(a: str, b: str, each: Suite) -> None:
    most = max(abs(each.lower), abs(each.upper), 2.0) * 1.1
    said = [words.signed(value) for value in (each.estimate, each.lower, each.upper)]
    figures = f"{said[0]} points, 95% from {said[1]} to {said[2]}"
    tone: theme.Tone = "good" if each.lower > 0 else "bad" if each.upper < 0 else ""
    with ui.element("div").classes("heed-rule").props('role="listitem"'):
        with ui.element("div").classes("head"):
            theme.text(each.name, "strong")
            theme.text(f"{each.kind}, {each.items:,} items", "soft small")
        theme.interval(
            each.estimate,
            each.lower,
            each.upper,
            least=-most,
            most=most,
            label=f"{each.name}: {figures}",
            tone=tone,
        )
        theme.text(figures, "small figures")
        theme.text(
            f"{lineage.short(a)} has {each.a_right:,} right, {lineage.short(b)} {each.b_right:,}.",
            "soft small told",
            "p",
        )
        for name, lines in ((a, each.only_a), (b, each.only_b)):
            if lines:
                with ui.element("details").classes("heed-more told"):
                    theme.text(f"{len(lines)} only {lineage.short(name)} has right", tag="summary")
                    for line in lines[:SHOWN_ITEMS]:
                        theme.text(line.prompt or line.item_id, "small", "p")
                    if len(lines) > SHOWN_ITEMS:
                        theme.text(f"and {len(lines) - SHOWN_ITEMS} more", "soft small", "p")


def _preferred(a: str, b: str, ranked: dict[str, dict[str, Any]]) -> None:
    if a not in ranked or b not in ranked:
        theme.prose("Nobody has preferred an answer of one to an answer of the other yet.")
        return
    row = ranked[b]
    said = [words.signed(row[name], 2) for name in ("log_odds", "lower", "upper")]
    figures = f"{said[0]}, 95% from {said[1]} to {said[2]}"
    most = max(abs(row["lower"]), abs(row["upper"]), 0.5) * 1.1
    with ui.element("div").classes("heed-rule"):
        with ui.element("div").classes("head"):
            theme.text("What people preferred", "strong")
            theme.text(f"{row['people']} people", "soft small")
        theme.interval(
            row["log_odds"],
            row["lower"],
            row["upper"],
            least=-most,
            most=most,
            label=f"Preferences: log-odds {figures}",
        )
        theme.text(f"log-odds {figures}", "small figures")
