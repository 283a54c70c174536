"""``GET /console/``: what Heed is doing, as one page to look at. It changes nothing, and has no script.

Knows no SQL: it shows what the functions behind the API return. Whatever people wrote is escaped
where it is put into the page, and the page's policy would let nothing run if it were not.
"""

from datetime import UTC
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from sqlmodel import Session

from feedback import harvest, receipts, review
from feedback.errors import Invalid
from feedback.models import STATUSES
from serving.context import AsReviewer, Heed, Parts
from serving.routes import page, round_page
from serving.routes.page import code, facts, link, moment, state, table, text
from trainer import registry
from trainer import round as rounds
from trainer.models import Adapter

router = APIRouter(include_in_schema=False)

REFRESH_SECONDS = 5
SHOWN_ROUNDS = 20
SHOWN_ADAPTERS = 20
SHOWN_WAITING = 5
SHOWN_TIMES = 5
_DIGEST_CHARACTERS = 12
_MEANING = {
    "waiting": "accepted; the next round learns from it",
    "review": "a reviewer decides",
    "used": "a round learned from it",
    "held_out": "kept aside, to judge a round by",
    "refused": "not learned from",
    "withdrawn": "taken back by whoever sent it",
    "forgotten": "erased",
}

STYLE = (
    page.STYLE
    + """
:root { --good: #166534; --bad: #b91c1c; --busy: #1d4ed8 }
@media (prefers-color-scheme: dark) { :root { --good: #86efac; --bad: #fca5a5; --busy: #93c5fd } }
h3 { font-size: 1rem; margin: 0 } .wide { overflow-x: auto } .wide code { white-space: nowrap }
.wide .said { min-width: 16rem }
b { border: 1px solid; border-radius: 1em; padding: 0 .6em; font-size: .85rem; white-space: nowrap }
.live, .promoted, .holds, .promote { color: var(--good) } .open, .canary { color: var(--busy) }
.refused, .rejected, .failed, .refuse { color: var(--bad) }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem .8rem;
  margin: .4rem 0 }
dt { color: var(--soft) } dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
progress { width: 100%; max-width: 24rem } summary { cursor: pointer; overflow-wrap: anywhere }
p, h3 { overflow-wrap: anywhere }
"""
)
HEADERS = {**page.headers(STYLE), "Cache-Control": "no-store"}


@router.get("/console/")
def show(parts: Parts, who: AsReviewer) -> HTMLResponse:
    """Show what is live, what was said, the rounds, the adapters and what comes next."""
    with parts.store.session() as session:
        is_open = rounds.current(session) is not None
        sections = [
            ("What is live", _live(session, parts)),
            ("Feedback", _feedback(session)),
            ("Rounds", _rounds(session)),
            ("Adapters", _adapters(session)),
            ("Next rounds", _next(session, parts)),
        ]
    body = "".join(f"<section><h2>{title}</h2>{made}</section>" for title, made in sections)
    again = f" Shown again every {REFRESH_SECONDS} seconds while a round is open." * is_open
    made = page.document(
        "Heed console",
        '<h1>Heed console</h1><p class="soft">Read only; things are changed through the '
        f'<a href="/docs">API</a>. Times are UTC unless they say otherwise.{again}</p>{body}',
        style=STYLE,
        refresh_seconds=REFRESH_SECONDS if is_open else None,
    )
    return HTMLResponse(made, headers=HEADERS)


def _live(session: Session, parts: Heed) -> str:
    deployed, answering = registry.live(session), parts.router.route.live
    named = (deployed.live_id if deployed else None) or "base"
    late = "" if answering == named else f"<p>This server still answers with {code(answering)}.</p>"
    if parts.swap.error:
        late += f'<p class="failed">It could not change over: {text(parts.swap.error)}</p>'
    if deployed is None:
        return (
            "<p>The base model answers everybody; nothing has been learned yet. The first round "
            f"that the gate lets through changes that.</p>{late}"
        )
    canary = "none"
    if deployed.canary_id:
        canary = f"{code(deployed.canary_id)} answers {deployed.canary_share:.0%} of people"
    found = facts(
        [
            ("Adapter", code(named) if deployed.live_id else "none: the base model answers"),
            ("Since", f"{moment(deployed.created_at)} (deployment {deployed.generation})"),
            ("Canary", canary),
            ("Because", text(deployed.reason)),
        ]
    )
    return found + late


def _feedback(session: Session) -> str:
    counts, totals = receipts.counts(session), receipts.totals(session)
    if not totals["feedback"]:
        return (
            f"<p>Nobody has said anything yet, of {totals['exchanges']} answers on record. Let an "
            "OpenAI client chat with this server, and send what people think of the answers to "
            '<a href="/docs#post-v1-feedback"><code>POST /v1/feedback</code></a>.</p>'
        )
    rows = [
        (text(status.replace("_", " ")), str(counts[status]), _MEANING[status])
        for status in STATUSES
    ]
    people = f"{totals['people']} people said {totals['feedback']} things"
    return (
        f"<p>{people} of {totals['exchanges']} answers.</p>"
        f"{table(('Status', 'Pieces', 'What it means'), rows, label='Feedback by status')}"
        f"{_review(session, counts['review'])}"
    )


def _review(session: Session, count: int) -> str:
    if not count:
        return "<p>Nothing waits for a reviewer.</p>"
    waiting, _ = review.queue(session, limit=SHOWN_WAITING)
    shown = f" The oldest {len(waiting)}:" if count > len(waiting) else ""
    return (
        f"<h3>{count} {'waits' if count == 1 else 'wait'} for a reviewer</h3><p>Decide with "
        '<a href="/docs#post-v1-reviews"><code>POST /v1/reviews</code></a>: <code>{"feedback_id": '
        '"fbk_…", "decision": "accept"}</code>, or <code>refuse</code>, or <code>edit</code> with '
        "a <code>correction</code>. All of them: "
        f'<a href="/v1/reviews/queue"><code>GET /v1/reviews/queue</code></a>.{shown}</p>'
        f"{''.join(map(_waiting, waiting))}"
    )


def _waiting(item: review.Waiting) -> str:
    asked: list[tuple[str, str]] = []
    if item.exchange is not None:
        asked = [
            *(("Prompt", text(said["content"])) for said in item.exchange.messages[-1:]),
            ("Answer", text(item.exchange.choices[item.feedback.choice]["text"])),
        ]
    said = [(text(name), text(value)) for name, value in item.feedback.body.items()]
    why = ("Waits because", text(item.receipt.reason))
    return f"<article>{code(item.feedback.id)}{facts([*asked, *said, why])}</article>"


def _rounds(session: Session) -> str:
    found = rounds.rounds(session, limit=SHOWN_ROUNDS)
    if not found:
        return (
            f"<p>There has been no round; {harvest.available(session)} pieces of feedback are "
            "ready for one. It starts by itself as said below, or now with "
            '<a href="/docs#post-v1-rounds"><code>POST /v1/rounds</code></a> or '
            "<code>heed round run</code>.</p>"
        )
    return "".join(map(round_page.article, found))


def _adapters(session: Session) -> str:
    found = registry.adapters(session)
    if not found:
        return "<p>There is none yet; every round that gets as far as the gate leaves one here.</p>"
    more = ""
    if len(found) > SHOWN_ADAPTERS:
        whole = f'<a href="/v1/adapters">all {len(found)}</a>'
        more = f"<p>These are the newest {SHOWN_ADAPTERS} of {whole}.</p>"
    columns = ("Adapter", "State", "Parent", "Round", "Digest", "Made")
    return table(columns, map(_adapter, found[:SHOWN_ADAPTERS]), label="Adapters") + more


def _adapter(row: Adapter) -> tuple[str, ...]:
    return (
        link("adapters", row.id),
        state(row.state),
        code(row.parent_id or "base"),
        link("rounds", row.round_id) if row.round_id else "",
        code(row.digest[:_DIGEST_CHARACTERS]),
        moment(row.created_at),
    )


def _next(session: Session, parts: Heed) -> str:
    settings, ready = parts.settings.trainer, harvest.available(session)
    said = (
        f"<p>A round starts at these times if {settings.minimum_material} pieces of feedback are "
        f"ready, and at any time once {settings.new_material} are. Ready now: {ready}.</p>"
    )
    if not parts.scheduler.enabled:
        said += (
            "<p>This process starts no rounds; one with the role <code>scheduler</code> does.</p>"
        )
    try:
        now = parts.store.now_seconds(session)
        times = rounds.next_times(settings, after_seconds=now, count=SHOWN_TIMES)
    except Invalid as fault:
        return f'{said}<p class="failed">{text(fault.message)}</p>'
    zone = UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)
    shown = "".join(f"<li>{moment(each, zone)}</li>" for each in times)
    return f"{said}<ol>{shown}</ol>" if times else f"{said}<p>The schedule names no time.</p>"
