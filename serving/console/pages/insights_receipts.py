"""A part of the Insights page: what became of one piece of feedback. Knows no SQL."""

from nicegui import ui

from feedback import receipts
from feedback.errors import HeedError
from feedback.models import Feedback, Receipt
from serving.console import theme
from serving.console.desk import Desk
from serving.console.theme import Tone

MEANING: dict[str, tuple[str, Tone]] = {
    "waiting": ("accepted; the next round learns from it", "busy"),
    "review": ("a reviewer decides", "warn"),
    "used": ("a round learned from it", "good"),
    "held_out": ("kept aside, to judge a round by", "busy"),
    "refused": ("not learned from", "bad"),
    "withdrawn": ("taken back by whoever sent it", "soft"),
    "forgotten": ("erased", "soft"),
}


async def build(desk: Desk, _days: int) -> None:
    """Draw the form, and the receipt that the address names."""
    asked = desk.request.query_params.get("id", "").strip()
    with theme.card("Look one up", "The id is in the answer to every piece of feedback."):
        with theme.row():
            box = ui.input(value=asked, placeholder="fbk_…").props(
                'outlined dense aria-label="Id of the feedback"'
            )

            async def look() -> None:
                shown.clear()
                with shown:
                    await _became(desk, (box.value or "").strip())

            box.classes("insights-id").on("keydown.enter", desk.act("reviewer", look))
            theme.button("Look up", desk.act("reviewer", look), kind="main")
        shown = ui.element("div").classes("insights-receipt")
        shown._props["aria-live"] = "polite"
    if asked:
        await look()


async def _became(desk: Desk, feedback_id: str) -> None:
    if not feedback_id:
        theme.prose("Write an id first: it begins with `fbk_`.")
        return
    try:
        found, feedback = await desk.read(receipts.receipt, feedback_id)
    except HeedError as fault:
        theme.prose(fault.message)
        return
    _receipt(found, feedback)


def _receipt(found: Receipt, feedback: Feedback) -> None:
    meaning, tone = MEANING[found.status]
    with theme.row():
        theme.badge(found.status.replace("_", " "), tone)
        theme.text(meaning)
    body = feedback.body or {}
    theme.facts(
        [
            ("Id", feedback.id),
            ("Because", found.reason or None),
            ("Rating", None if feedback.rating is None else f"{feedback.rating:.0%}"),
            ("Signal", feedback.signal),
            ("Reasons", ", ".join(str(each) for each in body.get("reasons") or ()) or None),
            ("Remark", body.get("comment")),
            ("Better answer", feedback.correction),
            ("About answer", feedback.exchange_id),
            ("Part it played", found.role),
            ("Round", found.round_id),
            ("Adapter", found.adapter_id),
        ]
    )
    with theme.row("soft small"):
        theme.text("Said")
        theme.when(feedback.received_at)
        theme.text("· last changed")
        theme.when(found.updated_at)
