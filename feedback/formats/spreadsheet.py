"""CSV for spreadsheets: a row for every piece of feedback, and no cell that a spreadsheet computes.

RFC 4180, every cell quoted, UTF-8 with a mark (without one, some spreadsheets guess another encoding).
A cell that could be taken for a formula gets an apostrophe before it (OWASP ASVS 1.2.10), and so does a
cell that begins with one, so that taking one apostrophe away always gives the text back.
"""

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

from sqlmodel import Session, col, select

from feedback.formats import logged
from feedback.formats.heed import PAGE
from feedback.models import Exchange, Feedback, Receipt
from feedback.settings import PROJECT
from feedback.text import questions

MARK = "\ufeff"
GUARD = "'"
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠", GUARD)
"""Full-width signs are signs to some spreadsheets."""
COLUMNS = (
    "feedback_id",
    "completion_id",
    "conversation_id",
    "person_id",
    "told_at",
    "rating",
    "correction",
    "comment",
    "reasons",
    "survey",
    "preferred_over",
    "signal",
    "value",
    "question",
    "answer",
    "model",
    "adapter",
    "origin",
    "status",
    "reason",
    "round",
)


def guarded(text: str) -> str:
    """Return a cell that no spreadsheet computes."""
    return GUARD + text if text.startswith(RISKY) else text


def unguarded(cell: str) -> str:
    """Return the text that a cell was made of."""
    return cell.removeprefix(GUARD)


def line(cells: list[str]) -> str:
    """Return one line, its cells guarded and quoted."""
    out = StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(map(guarded, cells))
    return out.getvalue()


def export(session: Session) -> Iterator[str]:
    """Yield the lines of a sheet, the mark and the header first; a page of rows in memory at a time.

    What was forgotten is left out; everything else is in, with what became of it.

    Args:
        session: one that sees a single moment (`heed.freeze`).
    """
    yield MARK + line(list(COLUMNS))
    last = ""
    while True:
        page = session.exec(
            select(Feedback, Receipt, Exchange)
            .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
            .join(Exchange, col(Exchange.id) == Feedback.exchange_id, isouter=True)
            .where(Feedback.project_id == PROJECT, col(Feedback.id) > last)
            .order_by(col(Feedback.id))
            .limit(PAGE)
        ).all()
        if not page:
            return
        for feedback, receipt, exchange in page:
            if receipt.status != "forgotten":
                yield line([_cell(each) for each in _values(feedback, receipt, exchange)])
        last = page[-1][0].id
        session.expunge_all()


def _values(feedback: Feedback, receipt: Receipt, exchange: Exchange | None) -> tuple[Any, ...]:
    said = _readable(feedback.body)
    asked = questions(logged.readable(exchange.messages)) if exchange else []
    answer = logged.answer(exchange.choices, feedback.choice) if exchange else None
    return (
        feedback.id,
        feedback.exchange_id,
        feedback.conversation_id,
        feedback.person_id,
        _moment(feedback.told_at),
        feedback.rating,
        feedback.correction,
        said.get("comment"),
        "; ".join(said.get("reasons") or ()),
        "; ".join(f"{name}: {value}" for name, value in (said.get("survey") or {}).items()),
        feedback.preferred_over,
        feedback.signal,
        said.get("value"),
        asked[-1] if asked else None,
        answer["text"] if answer else None,
        exchange.model if exchange else None,
        exchange.adapter_id if exchange else None,
        exchange.origin if exchange else None,
        receipt.status,
        receipt.reason,
        receipt.round_id,
    )


def _readable(said: dict[str, Any]) -> dict[str, Any]:
    """What was said; nothing where it cannot be read."""
    try:
        logged.body(said)
    except ValueError:
        return {}
    return said


def _moment(seconds: float) -> str | None:
    try:
        return logged.moment(seconds).isoformat()
    except ValueError:
        return None


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
