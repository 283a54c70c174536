"""How satisfied people are, what they complain about, and what they correct, over time.

Reads the newest votes of a time, a bounded number of them; says so where there were more. Knows no
screen. Times are Unix seconds; days are those of UTC.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import true
from sqlmodel import Session, col

from feedback import languages, topics
from feedback.columns import as_text, columns, decoded, here, uncollected
from feedback.ids import earliest_id
from feedback.models import Exchange, Feedback, Receipt
from feedback.proportions import Share, by_person
from feedback.review_models import ReviewItem
from feedback.settings import PROJECT
from feedback.statements import MIDDLING
from feedback.text import questions

Every = Literal["day", "week", "month"]
By = Literal["adapter", "language", "topic"]
MOST_VOTES = 50_000
MOST_READ = 5_000
"""So many texts are read where words matter: for a language, a topic, a complaint."""
MOST_GROUPS = 20
EXAMPLES = 3
_SHOWN_CHARACTERS = 200


@uncollected()
def satisfaction(
    session: Session,
    *,
    since: float,
    until: float,
    every: Every = "day",
    by: By | None = None,
) -> dict[str, Any]:
    """Return the share of satisfied votes over time, with 95% intervals.

    A vote is a rating, or a correction, which says that the answer was not right; of what one person
    said of one answer the last counts. The intervals know that one person's votes are alike.

    Args:
        session: a session that only reads.
        since: the time's beginning, Unix seconds.
        until: its end.
        every: how long the steps are.
        by: also for every adapter, language or topic: the commonest twenty.
    """
    read = MOST_READ if by in ("language", "topic") else MOST_VOTES
    rows = _votes(session, since, until, read, texts=by in ("language", "topic"))
    groups = _groups(rows, by)
    series: list[dict[str, Any]] = [{"name": None, **_series(rows, every)}]
    if groups is not None:
        names = [name for name, _ in Counter(groups).most_common(MOST_GROUPS)]
        for name in names:
            mine = [row for row, group in zip(rows, groups, strict=True) if group == name]
            series.append({"name": name, **_series(mine, every)})
    return {
        "object": "insights.satisfaction",
        "since": since,
        "until": until,
        "every": every,
        "by": by,
        "votes": len(rows),
        "complete": len(rows) < read,
        "series": series,
    }


@uncollected()
def complaints(session: Session, *, since: float, until: float) -> dict[str, Any]:
    """Return what people complain about: groups of what they disliked, labelled by their terms.

    A complaint is a thumb down, a correction or a remark. Groups come with how many people they are
    of, whether they become more (the later half of the time beside the earlier one), the reasons
    that were given, and examples.

    Args:
        session: a session that only reads.
        since: the time's beginning, Unix seconds.
        until: its end.
    """
    rows = _complaints(session, since, until)
    said = [_complaint(row) for row in rows]
    found = topics.topics([text for text, _ in said])
    members: dict[int | None, list[int]] = defaultdict(list)
    for at, number in enumerate(found.of):
        members[number].append(at)
    middle = (since + until) / 2
    groups = [
        _group(
            None if number is None else found.labels[number],
            [rows[at] for at in places],
            [said[at] for at in places],
            middle,
        )
        for number, places in members.items()
    ]
    groups.sort(key=lambda group: (group["topic"] is None, -group["complaints"], group["topic"]))
    return {
        "object": "insights.complaints",
        "since": since,
        "until": until,
        "complaints": len(rows),
        "people": len({row.person_id for row in rows}),
        "complete": len(rows) < MOST_READ,
        "groups": groups,
    }


def corrections(
    session: Session, *, since: float, until: float, every: Every = "day"
) -> dict[str, Any]:
    """Return how many corrections came over time, and what became of them.

    Args:
        session: a session that only reads.
        since: the time's beginning, Unix seconds.
        until: its end.
        every: how long the steps are.
    """
    query = (
        columns(
            Feedback.id,
            Feedback.person_id,
            Feedback.received_at,
            Receipt.status,
            Receipt.round_id,
            ReviewItem.lane,
        )
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .join(ReviewItem, col(ReviewItem.feedback_id) == Receipt.feedback_id, isouter=True)
        .where(*_within(since, until), col(Feedback.correction).is_not(None))
    )
    query = query.order_by(col(Receipt.feedback_id).desc()).limit(MOST_VOTES)
    rows = session.connection().execute(query).all()
    steps: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        steps[_step(row.received_at, every)].append(row)
    return {
        "object": "insights.corrections",
        "since": since,
        "until": until,
        "every": every,
        "corrections": len(rows),
        "complete": len(rows) < MOST_VOTES,
        "steps": [{"from": step, **_fates(steps[step])} for step in sorted(steps)],
        "total": _fates(rows),
    }


def _within(since: float, until: float) -> tuple[Any, ...]:
    """Votes of a time, walked along their own index by id, which is in the order of time."""
    return (
        col(Receipt.project_id) == PROJECT,
        col(Receipt.teaches) == true(),
        col(Receipt.feedback_id) >= earliest_id("fbk", since),
        col(Receipt.feedback_id) < earliest_id("fbk", until),
        col(Receipt.status).not_in(["withdrawn", "forgotten"]),
    )


def _votes(
    session: Session, since: float, until: float, most: int, *, texts: bool = False
) -> list[Any]:
    """The newest votes that are in force."""
    words = (as_text(Exchange.messages),) if texts else ()
    query = (
        columns(
            Feedback.id,
            Feedback.person_id,
            Feedback.exchange_id,
            Feedback.choice,
            Feedback.rating,
            Feedback.received_at,
            Exchange.adapter_id,
            *words,
        )
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .where(
            *_within(since, until),
            col(Feedback.rating).is_not(None) | col(Feedback.correction).is_not(None),
        )
        .order_by(col(Receipt.feedback_id).desc())
        .limit(most)
    )
    newest: dict[tuple[Any, ...], Any] = {}
    for row in session.connection().execute(query):
        newest.setdefault((row.exchange_id, row.choice, row.person_id), row)
    return list(newest.values())


def _satisfied(row: Any) -> float:
    if row.rating is None:
        return 0.0  # who corrects an answer was not content with it
    return 0.5 if row.rating == MIDDLING else float(row.rating > MIDDLING)


def _series(rows: Sequence[Any], every: Every) -> dict[str, Any]:
    steps: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        steps[_step(row.received_at, every)].append(row)
    return {
        "overall": _share(rows),
        "steps": [{"from": step, **(_share(steps[step]) or {})} for step in sorted(steps)],
    }


def _share(rows: Sequence[Any]) -> dict[str, Any] | None:
    people: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        people[row.person_id].append(_satisfied(row))
    found: Share | None = by_person((sum(each), len(each)) for each in people.values())
    return None if found is None else found._asdict()


def _groups(rows: Sequence[Any], by: By | None) -> list[str] | None:
    if by is None:
        return None
    if by == "adapter":
        return [row.adapter_id for row in rows]
    asked = [_question(row.messages) for row in rows]
    if by == "language":
        known = lru_cache(maxsize=None)(languages.language)
        return [known(text) for text in asked]
    found = topics.topics(asked)
    return ["other" if number is None else found.labels[number] for number in found.of]


def _step(at: float, every: Every) -> str:
    """The day (UTC) with which the step begins that a moment lies in."""
    day = datetime.fromtimestamp(at, UTC).date()
    starts: Mapping[Every, Callable[[], Any]] = {
        "day": lambda: day,
        "week": lambda: day - timedelta(days=day.weekday()),
        "month": lambda: day.replace(day=1),
    }
    return str(starts[every]().isoformat())


def _complaints(session: Session, since: float, until: float) -> list[Any]:
    wanted = (
        Feedback.id,
        Feedback.person_id,
        Feedback.received_at,
        as_text(Feedback.body),
        as_text(Exchange.messages),
    )
    voted = (
        columns(*wanted)
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .where(
            *_within(since, until),
            (col(Feedback.rating) < MIDDLING) | col(Feedback.correction).is_not(None),
        )
        .order_by(col(Receipt.feedback_id).desc())
        .limit(MOST_READ)
    )
    remarked = (
        columns(*wanted)
        .select_from(ReviewItem)
        .join(Feedback, col(Feedback.id) == ReviewItem.feedback_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .where(
            here(ReviewItem.project_id),
            col(ReviewItem.feedback_id) >= earliest_id("fbk", since),
            col(ReviewItem.feedback_id) < earliest_id("fbk", until),
            col(ReviewItem.kind) == "comment",
            col(ReviewItem.lane) != "gone",
        )
        .order_by(col(ReviewItem.feedback_id).desc())
        .limit(MOST_READ)
    )
    rows = [row for each in (voted, remarked) for row in session.connection().execute(each)]
    return sorted(rows, key=lambda row: row.id, reverse=True)[:MOST_READ]


def _complaint(row: Any) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = decoded(row.body) or {}
    question = _question(row.messages)
    reasons = [str(each) for each in body.get("reasons") or ()]
    said = [str(body[name]) for name in ("comment", "correction") if body.get(name)]
    shown = {
        "id": row.id,
        "question": question[:_SHOWN_CHARACTERS],
        "said": (" ".join(said) or ", ".join(reasons))[:_SHOWN_CHARACTERS] or None,
    }
    return " ".join([question, *said, *reasons]), {"reasons": reasons, "shown": shown}


def _group(
    topic: str | None,
    rows: Sequence[Any],
    said: Sequence[tuple[str, dict[str, Any]]],
    middle: float,
) -> dict[str, Any]:
    reasons = Counter(reason for _, each in said for reason in each["reasons"])
    later = sum(row.received_at >= middle for row in rows)
    return {
        "topic": topic,
        "complaints": len(rows),
        "people": len({row.person_id for row in rows}),
        "earlier": len(rows) - later,
        "later": later,
        "reasons": [{"reason": name, "count": count} for name, count in reasons.most_common(5)],
        "examples": [each["shown"] for _, each in said[:EXAMPLES]],
    }


def _fates(rows: Sequence[Any]) -> dict[str, int]:
    found = Counter(_fate(row) for row in rows)
    names = ("waiting", "accepted", "edited", "refused", "learned", "held_out")
    people = len({row.person_id for row in rows})
    return {"corrections": len(rows), "people": people, **{name: found[name] for name in names}}


def _fate(row: Any) -> str:
    if row.status in ("used", "held_out"):
        return "learned" if row.status == "used" else "held_out"
    if row.status == "review":
        return "waiting"
    return "refused" if row.status == "refused" else row.lane or "accepted"


def _question(messages: str) -> str:
    return next(reversed(questions(decoded(messages))), "")
