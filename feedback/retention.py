"""How long things are kept: what is older than the settings say is emptied, a batch at a time.

An exchange that nobody spoke of is deleted. Of one that somebody did speak of, and of what they
said, the texts go; ids, keyed hashes, times and receipts stay, so that lineage can be checked and
a person can still be forgotten. What a round holds stays until it has ended. Knows no snapshot and
no past example: rounds need those, and only forgetting takes rows out of them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, tuple_, update
from sqlmodel import Session, col, select

from feedback.forget import BATCH, FORGOTTEN, empty_exchanges, empty_feedback
from feedback.models import Exchange, Feedback, Receipt
from feedback.settings import PROJECT, FeedbackSettings
from feedback.store import Store

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Purged:
    """What was emptied, or would be: exchanges nobody spoke of, those somebody did, and feedback."""

    unrated: int = 0
    rated: int = 0
    feedback: int = 0

    def __add__(self, other: "Purged") -> "Purged":
        return Purged(
            self.unrated + other.unrated,
            self.rated + other.rated,
            self.feedback + other.feedback,
        )


def purge(store: Store, *, now_seconds: float | None = None, dry_run: bool = False) -> Purged:
    """Empty what is older than the settings say; each batch is committed by itself.

    Args:
        store: whose settings say how long things are kept; by default for ever.
        now_seconds: Unix seconds; by default this machine's clock.
        dry_run: only count.
    """
    settings = store.settings
    now = time.time() if now_seconds is None else now_seconds
    done = Purged()
    if settings.keep_unrated_days is not None:
        old = _unrated(now - settings.keep_unrated_days * DAY_SECONDS)
        preferred_over = _preferred_over(store)
        for page in _batches(store, old):
            names = [name for name in page if name not in preferred_over]
            done += Purged(unrated=len(names))
            if not dry_run:
                with _overwriting(store) as session:
                    # Somebody may have spoken of one of them since it was read.
                    empty_exchanges(session, set(_still(session, names, old)))
                    session.commit()
    if settings.keep_rated_days is not None:
        cutoff = now - settings.keep_rated_days * DAY_SECONDS
        old = _rated(cutoff)
        for names in _batches(store, old):
            with _overwriting(store) as session:
                named = set(_still(session, names, old))
                said = set(
                    session.exec(select(Feedback.id).where(col(Feedback.exchange_id).in_(named)))
                )
                done += Purged(rated=len(named), feedback=len(said))
                if not dry_run:
                    _empty(session, settings, said)
                    empty_exchanges(session, named)
                    session.commit()
        done += _of_conversations(store, cutoff, dry_run=dry_run)
    return done


def _of_conversations(store: Store, cutoff: float, *, dry_run: bool) -> Purged:
    """What was said of conversations as a whole."""
    old = (
        col(Feedback.project_id) == PROJECT,
        col(Feedback.exchange_id).is_(None),
        col(Feedback.received_at) < cutoff,
        col(Feedback.body_hash) != "",
    )
    done = Purged()
    last = ""
    while True:
        with _overwriting(store) as session:
            query = select(Feedback.id).where(*old, col(Feedback.id) > last)
            said = session.exec(query.order_by(col(Feedback.id)).limit(BATCH)).all()
            if not said:
                return done
            last = said[-1]
            done += Purged(feedback=len(said))
            if not dry_run:
                _empty(session, store.settings, set(said))
                session.commit()


def _empty(session: Session, settings: FeedbackSettings, said: set[str]) -> None:
    empty_feedback(session, said)
    session.execute(
        update(Receipt)
        .where(col(Receipt.feedback_id).in_(said), col(Receipt.status).in_(["waiting", "review"]))
        .values(
            status=FORGOTTEN,
            reason=f"Its text was kept for {settings.keep_rated_days:g} days, and no round learned "
            "from it in that time.",
            updated_at=time.time(),
        )
    )


@contextmanager
def _overwriting(store: Store) -> Iterator[Session]:
    """A writing session in which SQLite puts zeros where something was deleted."""
    with store.session(write=True) as session:
        if store.is_sqlite:
            session.connection().exec_driver_sql("PRAGMA secure_delete=ON")
        yield session


def _unrated(cutoff: float) -> tuple[ColumnElement[bool], ...]:
    return (*_older(cutoff), ~exists().where(col(Feedback.exchange_id) == col(Exchange.id)))


def _preferred_over(store: Store) -> set[str]:
    """The answers that somebody liked less: named, but by no index; few people compare."""
    with store.session() as session:
        query = select(Feedback.preferred_over).where(col(Feedback.preferred_over).is_not(None))
        return {name for name in session.exec(query) if name is not None}


def _rated(cutoff: float) -> tuple[ColumnElement[bool], ...]:
    here = col(Feedback.exchange_id) == col(Exchange.id)
    lately = exists().where(here, col(Feedback.received_at) >= cutoff)
    held = exists().where(
        here,
        col(Receipt.feedback_id) == col(Feedback.id),
        col(Receipt.status) == "waiting",
        col(Receipt.round_id).is_not(None),
    )
    return (*_older(cutoff), exists().where(here), ~lately, ~held)


def _older(cutoff: float) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Exchange.project_id) == PROJECT,
        col(Exchange.created_at) < cutoff,
        col(Exchange.state) != FORGOTTEN,
    )


def _batches(store: Store, old: tuple[ColumnElement[bool], ...]) -> Iterator[list[str]]:
    """Ids, oldest first. Each page goes on where the last one ended, so that none is read twice."""
    place = tuple_(col(Exchange.created_at), col(Exchange.id))
    after = (-1.0, "")
    while True:
        with store.session() as session:
            page = session.exec(
                select(Exchange.created_at, Exchange.id)
                .where(*old, place > tuple_(*after))
                .order_by(col(Exchange.created_at), col(Exchange.id))
                .limit(BATCH)
            ).all()
        if not page:
            return
        after = (page[-1][0], page[-1][1])
        yield [name for _, name in page]


def _still(session: Session, names: list[str], old: tuple[ColumnElement[bool], ...]) -> list[str]:
    return list(session.exec(select(Exchange.id).where(*old, col(Exchange.id).in_(names))))
