"""A Heed with something on every page of its console, for pictures and for what looks at all pages."""

import re
import time
from collections.abc import Iterable

from sqlmodel import Session

from feedback.models import Exchange
from serving import staffing
from serving.auth import AccountRole
from serving.console.registry import Page, pages
from tests import compared
from tests.builders import ended_round, exchange, record, tell, told
from tests.serving.conftest import CHEAP_MIB, PASSWORD, Server
from trainer import pair_store

DAY_SECONDS = 86_400.0
ADMIN = "Ada Lindqvist"
PEOPLE: tuple[tuple[str, AccountRole], ...] = (
    (ADMIN, "admin"),
    ("Omar", "operator"),
    ("Rita", "reviewer"),
    ("Vera", "viewer"),
)
SAID: tuple[tuple[str, str, str | None], ...] = (
    ("What does the lamp cost?", "The lamp costs 49 dollars.", "The lamp costs 59 dollars."),
    ("When do you open on Sunday?", "We open at ten.", "We are closed on Sundays."),
    ("Can I return a chair?", "Yes, within 30 days.", None),
    ("Do you deliver to Norway?", "We deliver to the whole of Europe.", None),
    ("Which lamp is good for reading?", "The Arc, since it can be turned.", None),
)


def hire(session: Session, people: Iterable[tuple[str, AccountRole]]) -> None:
    """Make accounts, all with the password `PASSWORD`. The caller commits."""
    for name, role in people:
        staffing.add(
            session,
            actor="cli",
            name=name,
            role=role,
            password=PASSWORD,
            memory_mib=CHEAP_MIB,
        )


def furnish(server: Server) -> None:
    """Write down people, keys, answers, what was said of them, rounds and versions."""
    with server.store.session(write=True) as session:
        hire(session, PEOPLE)
        staffing.make_key(session, actor="cli", role="client", name="the shop's server")
        session.commit()
    server.parts.keys._read_at = -1.0
    for at, (question, answer, correction) in enumerate(SAID):
        _say(server, at, question, answer, correction)
    first = server.publish(state="retired")
    second = server.publish(parent=first)
    counts = {"feedback": 48, "used": 36, "held_out": 8, "refused": 4}
    now = time.time()
    ended: tuple[tuple[int, str, str | None, str], ...] = (
        (15, "refused", None, "no better than before on what was held out"),
        (8, "promoted", first, "better on what was held out, and nothing was forgotten"),
        (1, "promoted", second, "better on what was held out, and nothing was forgotten"),
    )
    for days, state, made, outcome in ended:
        began = now - days * DAY_SECONDS
        last = ended_round(
            server.store,
            state=state,
            trigger="schedule '0 3 * * 1'",
            candidate_id=made,
            counts=counts,
            report={"outcome": "promote" if state == "promoted" else "refuse"},
            message=outcome,
            created_at=began,
            started_at=began + 2,
            ended_at=began + 95,
        )
    with server.store.session(write=True) as session:
        pair_store.write(session, last, [compared.pair(number) for number in range(6)])
        session.commit()
    server.http.post(
        f"/v1/adapters/{second}/promote",
        json={"reason": "it knows the new prices"},
        headers=server.key("admin")[1],
    )


def _say(server: Server, at: int, question: str, answer: str, correction: str | None) -> None:
    made: Exchange = exchange(
        question=question,
        answer=answer,
        who=f"guest {at}",
        created_at=time.time() - at * DAY_SECONDS,
    )
    name = made.id
    record(server.store, made)
    said = {"correction": correction} if correction else {"rating": "up" if at % 2 else "down"}
    tell(server.store, told(f"guest {at}", completion_id=name, **said))


def addresses(server: Server) -> dict[str, Page]:
    """Every page of the console, at an address that shows something where there is something."""
    rows = {
        name: [
            row["id"]
            for row in server.http.get(f"/v1/{name}s", headers=_key(server)).json()["data"]
        ]
        for name in ("round", "adapter")
    }

    def filled(found: re.Match[str]) -> str:
        known = rows.get(found[1].removesuffix("_id"), [])
        return str(known[0]) if known else "none"

    return {re.sub(r"\{(\w+)(?::\w+)?\}", filled, page.path): page for page in pages()}


def _key(server: Server) -> dict[str, str]:
    return server.key("reviewer")[1]
