"""Finding what to review: lanes, filters, full-text search, orders, and the next one for somebody.

Every order is that of an index, so a page or the next item costs the same however many wait. Knows
no decision; `feedback.review.queue` lists by receipt status what never came to review.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, exists, func, tuple_
from sqlmodel import Session, col, select

from feedback import reservations
from feedback.columns import here
from feedback.errors import Invalid
from feedback.models import Exchange, Feedback, Receipt
from feedback.review_models import (
    ItemKind,
    ReviewComment,
    ReviewDraft,
    ReviewItem,
    ReviewTag,
    ReviewVerdict,
)
from feedback.review_search import matches
from feedback.settings import PROJECT, FeedbackSettings
from feedback.statements import MIDDLING

Order = Literal["best", "oldest", "newest"]
Listed = Literal["waiting", "draft", "accepted", "edited", "refused", "disagreement", "all"]
MOST_TOGETHER = 500
"""Of one cluster so many are decided at once."""


class Filters(BaseModel):
    """What a queue is narrowed to; everything that is given has to hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lane: Listed = Field(
        "waiting",
        description="waiting, draft (waiting, with a draft of one's own), accepted, edited, "
        "refused, disagreement, or all.",
    )
    kind: ItemKind | None = Field(None, description="What was said.")
    rating: Literal["up", "middling", "down"] | None = Field(None, description="How it was rated.")
    adapter: str | None = Field(None, max_length=200, description="Which version answered.")
    person: str | None = Field(None, max_length=200, description="A keyed hash, as items show it.")
    topic: str | None = Field(None, max_length=200, description="As items show it.")
    language: str | None = Field(None, max_length=20, description="Two letters, such as `de`.")
    tag: str | None = Field(None, max_length=100, description="A tag that a reviewer gave.")
    reason: str | None = Field(None, max_length=1000, description="A reason the person gave.")
    since: float | None = Field(None, allow_inf_nan=False, description="Not before, Unix seconds.")
    until: float | None = Field(None, allow_inf_nan=False, description="Before, Unix seconds.")
    trust_from: float | None = Field(
        None, ge=0, le=1, description="What the account's word counts, at least."
    )
    trust_to: float | None = Field(
        None, ge=0, le=1, description="What the account's word counts, at most."
    )
    cluster: str | None = Field(None, max_length=100, description="Near duplicates of each other.")
    q: str | None = Field(
        None,
        max_length=1000,
        description="Words that question, answer, correction or comment all have; `cos*` stands "
        "for all that begin so.",
    )


@dataclass(frozen=True)
class Shown:
    """One item with what a reviewer needs to judge it.

    Attributes:
        item: its place in the queue.
        feedback: what was said.
        receipt: what became of it.
        exchange: what it was said of.
        alike: how many waiting items say nearly the same, this one included.
        tags: what reviewers tagged it with.
        comments: how many comments of reviewers there are.
    """

    item: ReviewItem
    feedback: Feedback
    receipt: Receipt
    exchange: Exchange | None
    alike: int
    tags: tuple[str, ...]
    comments: int


def find(
    session: Session,
    filters: Filters,
    *,
    reviewer: str,
    order: Order = "best",
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[Shown], bool]:
    """Return a page of the queue, and whether there is more.

    Args:
        session: a session that only reads.
        filters: what is looked for.
        reviewer: whose drafts the lane ``draft`` is about.
        order: ``best`` first what a decision would change most, or by age.
        after: the feedback id of the last row of the page before.
        limit: rows in the page.

    Raises:
        Invalid: a search without a word, or a cursor that names nothing.
    """
    query = select(ReviewItem).where(*_conditions(session, filters, reviewer))
    if after is not None:
        query = query.where(_beyond(session, after, order))
    rows = session.exec(query.order_by(*_ORDERS[order]).limit(limit + 1)).all()
    return details(session, rows[:limit]), len(rows) > limit


def next_item(
    session: Session,
    settings: FeedbackSettings,
    filters: Filters,
    *,
    reviewer: str,
    now_seconds: float,
    order: Order = "best",
    skip: Sequence[str] = (),
) -> Shown | None:
    """Reserve the next item for somebody and return it; None where nothing is left for them.

    Two reviewers who ask at once never get the same one. Whoever asks again without deciding gets
    what they have, unless they skip it. The caller commits.

    Args:
        session: a writing session.
        settings: how long a reservation lasts.
        filters: what is looked for.
        reviewer: for whom.
        now_seconds: the database's clock.
        order: as `find`.
        skip: feedback ids to pass over, such as what is on the screen while the next is fetched.
    """
    judged = exists().where(
        col(ReviewVerdict.feedback_id) == col(ReviewItem.feedback_id),
        col(ReviewVerdict.reviewer) == reviewer,
    )
    query = (
        select(ReviewItem)
        .where(
            *_conditions(session, filters, reviewer),
            reservations.free_for(reviewer, now_seconds),
            ~judged,
        )
        .order_by(*_ORDERS[order])
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if skip:
        query = query.where(col(ReviewItem.feedback_id).not_in(list(skip)))
    found = session.exec(query).first()
    if found is None:
        return None
    reservations.take(session, found, settings, reviewer=reviewer, now_seconds=now_seconds)
    session.flush()
    return details(session, [found])[0]


def alike(
    session: Session, feedback_id: str, *, reviewer: str, now_seconds: float
) -> list[ReviewItem]:
    """Return what one decision on this item can cover: it, and what waits and says nearly the same.

    What somebody else looks at now is left out.

    Raises:
        NotFound: it never came to review.
    """
    found = reservations.item(session, feedback_id)
    if found.cluster is None:
        return [found]
    query = (
        select(ReviewItem)
        .where(
            ReviewItem.cluster == found.cluster,
            ReviewItem.lane == found.lane,
            ReviewItem.feedback_id != feedback_id,
            here(ReviewItem.project_id),
            reservations.free_for(reviewer, now_seconds),
        )
        .order_by(col(ReviewItem.feedback_id))
        .limit(MOST_TOGETHER - 1)
    )
    return [found, *session.exec(query)]


def details(session: Session, items: Sequence[ReviewItem]) -> list[Shown]:
    """Return items of one page with what a reviewer needs to judge them, in their order."""
    ids = [item.feedback_id for item in items]
    told = {
        feedback.id: (feedback, receipt, exchange)
        for feedback, receipt, exchange in session.exec(
            select(Feedback, Receipt, Exchange)
            .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
            .join(Exchange, col(Exchange.id) == Feedback.exchange_id, isouter=True)
            .where(col(Feedback.id).in_(ids))
        )
    }
    tags: dict[str, list[str]] = {}
    named = select(ReviewTag.feedback_id, ReviewTag.name).where(
        col(ReviewTag.feedback_id).in_(ids), ReviewTag.kind == "tag"
    )
    for feedback_id, name in session.exec(named.order_by(col(ReviewTag.name))):
        tags.setdefault(feedback_id, []).append(name)
    comments = Counter(
        session.exec(
            select(ReviewComment.feedback_id).where(col(ReviewComment.feedback_id).in_(ids))
        ).all()
    )
    sizes = _sizes(session, {item.cluster for item in items if item.cluster})
    return [
        Shown(
            item,
            *told[item.feedback_id],
            alike=max(sizes.get(item.cluster or "", 0), 1),
            tags=tuple(tags.get(item.feedback_id, ())),
            comments=comments[item.feedback_id],
        )
        for item in items
    ]


def lanes(session: Session, *, reviewer: str) -> dict[str, int]:
    """Return how many items each lane has, and how many drafts are the reviewer's own."""
    query = (
        select(ReviewItem.lane, func.count())
        .where(ReviewItem.project_id == PROJECT, ReviewItem.lane != "gone")
        .group_by(ReviewItem.lane)
    )
    drafts = (
        select(func.count())
        .select_from(ReviewDraft)
        .where(ReviewDraft.project_id == PROJECT, ReviewDraft.reviewer == reviewer)
    )
    names = ("waiting", "disagreement", "accepted", "edited", "refused")
    found: dict[str, int] = dict(session.exec(query).all())
    return {**dict.fromkeys(names, 0), **found, "draft": session.exec(drafts).one()}


_ORDERS: dict[Order, tuple[Any, ...]] = {
    "best": (col(ReviewItem.rank), col(ReviewItem.feedback_id)),
    "oldest": (col(ReviewItem.feedback_id),),
    "newest": (col(ReviewItem.feedback_id).desc(),),
}


def _beyond(session: Session, after: str, order: Order) -> ColumnElement[bool]:
    """The condition for what comes after an item in an order."""
    if order != "best":
        place = col(ReviewItem.feedback_id)
        return place > after if order == "oldest" else place < after
    rank = session.exec(select(ReviewItem.rank).where(ReviewItem.feedback_id == after)).first()
    if rank is None:
        raise Invalid(
            f"`after` names no item: {after!r}; start from the first page.", param="after"
        )
    return tuple_(col(ReviewItem.rank), col(ReviewItem.feedback_id)) > tuple_(rank, after)


def _conditions(session: Session, filters: Filters, reviewer: str) -> list[ColumnElement[bool]]:
    """Everything that has to hold; the lane first, by which the indexes begin."""
    lane = "waiting" if filters.lane == "draft" else filters.lane
    found: list[ColumnElement[bool]] = [col(ReviewItem.project_id) == PROJECT]
    found.append(col(ReviewItem.lane) != "gone" if lane == "all" else col(ReviewItem.lane) == lane)
    for column, value in (
        (ReviewItem.kind, filters.kind),
        (ReviewItem.adapter_id, filters.adapter),
        (ReviewItem.person_id, filters.person),
        (ReviewItem.topic, filters.topic),
        (ReviewItem.language, filters.language),
        (ReviewItem.cluster, filters.cluster),
    ):
        if value is not None:
            found.append(col(column) == value)
    rating = col(ReviewItem.rating)
    if filters.rating is not None:
        found.append(
            {"up": rating > MIDDLING, "down": rating < MIDDLING, "middling": rating == MIDDLING}[
                filters.rating
            ]
        )
    if filters.since is not None:
        found.append(col(ReviewItem.received_at) >= filters.since)
    if filters.until is not None:
        found.append(col(ReviewItem.received_at) < filters.until)
    if filters.trust_from is not None:
        found.append(col(ReviewItem.trust) >= filters.trust_from)
    if filters.trust_to is not None:
        found.append(col(ReviewItem.trust) <= filters.trust_to)
    for kind, name in (("tag", filters.tag), ("reason", filters.reason)):
        if name is not None:
            named = select(ReviewTag.feedback_id).where(
                ReviewTag.project_id == PROJECT, ReviewTag.kind == kind, ReviewTag.name == name
            )
            found.append(col(ReviewItem.feedback_id).in_(named))
    if filters.lane == "draft":
        mine = select(ReviewDraft.feedback_id).where(
            ReviewDraft.project_id == PROJECT, ReviewDraft.reviewer == reviewer
        )
        found.append(col(ReviewItem.feedback_id).in_(mine))
    if filters.q is not None:
        found.append(matches(session, filters.q))
    return found


def _sizes(session: Session, clusters: set[str]) -> dict[str, int]:
    """How many wait in each cluster, by an index that holds all it takes."""
    query = (
        select(ReviewItem.cluster, func.count())
        .where(col(ReviewItem.cluster).in_(clusters), ReviewItem.lane == "waiting")
        .group_by(ReviewItem.cluster)
    )
    return {name: count for name, count in session.exec(query) if name is not None}
