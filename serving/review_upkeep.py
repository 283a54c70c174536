"""Keeps the review queue in order: what is new becomes findable, and what changed finds its place.

Knows neither how words are indexed nor what a decision is worth; writes in small portions, so that
nobody who decides meanwhile waits for it.
"""

import time

from sqlalchemy import func
from sqlmodel import select

from feedback import languages, review_index, review_order
from feedback.review_models import ReviewAction
from feedback.store import Store

AT_ONCE = 500
"""Rows that are written in one transaction."""
REST = 20
"""After working so long it rests so many times as long: answers and feedback come first."""


class ReviewUpkeep:
    """Looks now and then, and works where something has changed since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: object = None
        self._new = False
        self._rests_until = 0.0

    def look(self) -> int:
        """Bring the queue in order; returns how many items have another place now."""
        indexed = 0
        while (done := self._refresh()) > 0:
            indexed += done
        with self._store.session() as session:
            seen = session.exec(select(func.max(ReviewAction.id))).one()
            began = time.monotonic()
            if (not indexed and not self._new and seen == self._seen) or began < self._rests_until:
                self._new = self._new or indexed > 0
                return 0
            placed = review_order.measure(session, self._store.settings)
        for start in range(0, len(placed), AT_ONCE):
            with self._store.session(write=True) as session:
                review_order.write(session, placed[start : start + AT_ONCE])
                session.commit()
        self._seen, self._new = seen, False
        self._rests_until = began + (REST + 1) * (time.monotonic() - began)
        return len(placed)

    def _refresh(self) -> int:
        with self._store.session() as session:
            if not review_index.is_stale(session):
                return 0
        languages.preload()  # it takes a while, in which nobody should wait to write
        with self._store.session(write=True) as session:
            done = review_index.refresh(session, most=AT_ONCE)
            session.commit()
        return done


def catch_up(store: Store, *, most: int = 200) -> None:
    """Make what has just come findable before somebody looks; more than so many comes by itself."""
    with store.session() as session:
        if not review_index.is_stale(session):
            return
    languages.preload()  # it takes a while, in which nobody should wait to write
    with store.session(write=True) as session:
        review_index.refresh(session, most=most)
        session.commit()
