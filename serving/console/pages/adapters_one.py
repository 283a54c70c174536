"""One adapter: where it stands in the line of descent, its model card, promoting it.

Promoting is what `POST /v1/adapters/{id}/promote` does. Knows no SQL.
"""

from dataclasses import dataclass

from nicegui import ui
from sqlmodel import Session

from serving.console import deploying, lineage, offers, theme
from serving.console.desk import Desk
from serving.console.pages import adapters as listing
from serving.console.pages import rounds as rounds_page
from serving.console.registry import Page
from serving.console.theme import Tone
from trainer import export, registry
from trainer import round as rounds
from trainer.models import Adapter, Deployment, Round

CANARY_SHARE = 0.05
"""Offered where the settings name no share for a canary."""
TONES: dict[str, Tone] = {
    "live": "good",
    "canary": "warn",
    "candidate": "busy",
    "rejected": "bad",
    "retired": "soft",
}
MEANING = {
    "live": "It answers people now.",
    "canary": "It answers a share of people, to see how they take it.",
    "candidate": "Nobody is answered by it; it can be promoted.",
    "rejected": "The gate did not let it through; it is never deployed.",
    "retired": "It was live, and is no longer; it can be promoted again.",
}


@dataclass(frozen=True)
class Seen:
    """What the page shows, read at one time."""

    row: Adapter
    made_by: Round | None
    deployed: Deployment | None
    family: list[Adapter]
    card: str


async def build(desk: Desk) -> None:
    """Draw the page."""
    seen = await desk.read(_read, desk.request.path_params["adapter_id"])
    row = seen.row
    with theme.heading("Adapter", row.id):
        theme.badge(row.state, TONES.get(row.state, "soft"))
        _actions(desk, seen)
    with theme.card("About it"):
        theme.prose(MEANING.get(row.state, ""))
        _facts(seen)
    with theme.card("Line of descent"):
        live_id = seen.deployed.live_id if seen.deployed else None
        around = ui.element("div").classes("heed-descent")
        around._props |= {"role": "region", "aria-label": "Line of descent", "tabindex": 0}
        with around:
            nodes = lineage.layout(seen.family, live_id)
            ui.html(lineage.svg(nodes, chosen=row.id), sanitize=False)  # every text is escaped
    with theme.card("Model card"):
        theme.answer(_without_header(seen.card))
        with theme.row("end"):
            _download(desk, row.id)


def _read(session: Session, adapter_id: str) -> Seen:
    row = registry.get(session, adapter_id)
    made_by = rounds.get(session, row.round_id) if row.round_id else None
    return Seen(
        row=row,
        made_by=made_by,
        deployed=registry.live(session),
        family=list(registry.adapters(session)),
        card=export.model_card(row, made_by),
    )


def _actions(desk: Desk, seen: Seen) -> None:
    row, deployed = seen.row, seen.deployed
    alone = deployed is not None and deployed.canary_id is None
    if row.state == "rejected" or (row.state == "live" and alone):
        return
    share = desk.parts.settings.trainer.canary_share or CANARY_SHARE
    offers.explain(desk, "operator")
    if row.state not in ("live", "canary"):
        offers.offer(
            desk,
            "operator",
            f"Try on {share:.0%} of people",
            lambda: deploying.promote(desk, row.id, share, listing.reload),
        )
    offers.offer(
        desk,
        "operator",
        "Promote",
        lambda: deploying.promote(desk, row.id, 0.0, listing.reload),
        icon="upgrade",
        kind="main",
    )


def _download(desk: Desk, adapter_id: str) -> None:
    """A link, which the route checks: the browser saves what comes without the page's help."""
    if not desk.may("operator"):
        theme.text(f"Download as a PEFT folder. {offers.reason(desk, 'operator')}", "soft small")
        return
    link = ui.element("a").props("download")
    link._props["href"] = f"/v1/adapters/{adapter_id}/export"
    with link:
        theme.text("Download as a PEFT folder (zip)")


def _facts(seen: Seen) -> None:
    row = seen.row
    with ui.element("dl").classes("heed-facts"):
        theme.text("Parent", tag="dt")
        with ui.element("dd"):
            listing.link(row.parent_id)
        theme.text("Made", tag="dt")
        with ui.element("dd"):
            theme.when(row.created_at)
        if seen.made_by is not None:
            theme.text("Round", tag="dt")
            with ui.element("dd"), theme.row():
                rounds_page.link(seen.made_by.id)
                theme.badge(seen.made_by.state, rounds_page.TONES.get(seen.made_by.state, "soft"))
        theme.text("Base model", tag="dt")
        theme.text(row.base_model, tag="dd")


def _without_header(card: str) -> str:
    """The card's text; what stands before it is for machines."""
    parts = card.split("---\n", 2)
    return parts[2] if card.startswith("---\n") and len(parts) == 3 else card


PAGE = Page(
    path="/adapters/{adapter_id}",
    title="Adapter",
    icon="account_tree",
    needs="reviewer",
    build=build,
    order=51,
    listed=False,
)
