"""Reviewing through the functions that the API's routes call, each in a transaction of its own.

Knows no server and no browser.
"""

import random
from functools import partial

from rich.console import Console
from rich.progress import track

from benchmarks.timed import Timed, resident_mib
from feedback import review_actions, review_order, verdicts
from feedback import review_queue as queue
from feedback.review_index import refresh
from feedback.review_queue import Filters, Shown
from feedback.store import Store

TARGET_SECONDS = {"first item": 1.0, "next": 0.05, "decide": 0.05, "page": 0.1, "search": 0.1}
REVIEWERS = ("rita", "sam")


def order(store: Store, timed: Timed, *, quiet: bool) -> None:
    """Bring the queue in order, as the scheduler does."""

    def index() -> int:
        with store.session(write=True) as session:
            done = refresh(session, most=500)
            session.commit()
        return done

    with Console(stderr=True, quiet=quiet).status("indexing"):
        while timed("index 500", index):
            pass

    def measure() -> list[review_order.Placed]:
        with store.session() as session:
            return review_order.measure(session, store.settings)

    placed = timed("order", measure)

    def write(some: list[review_order.Placed]) -> None:
        with store.session(write=True) as session:
            review_order.write(session, some)
            session.commit()

    for start in range(0, len(placed), 500):
        some = placed[start : start + 500]
        timed("write 500", partial(write, some))


def review(store: Store, decisions: int, timed: Timed, *, quiet: bool) -> list[int]:
    """Review so many items; returns the memory in MiB as it went."""
    luck = random.Random(1)
    memory = []
    shown: Shown | None = timed("first item", lambda: _next(store, "rita", ()))
    for at in track(
        range(decisions), "reviewing", console=Console(stderr=True, quiet=quiet), transient=True
    ):
        who = REVIEWERS[at % 2]
        assert shown is not None
        name = shown.feedback.id
        timed("decide", partial(_decide, store, name, REVIEWERS[0]))
        if at % 10 == 0:
            timed("undo", partial(_undo, store, name, who))
            timed("decide", partial(_decide, store, name, REVIEWERS[0]))
        shown = timed("next", lambda: _next(store, "rita", ()))
        if at % 5 == 0:
            words = " ".join(f"word{luck.randrange(3000)}" for _ in range(2))
            rare, common, begins = Filters(q=words), Filters(q="about"), Filters(q="word29*")
            timed("page", lambda: _page(store, Filters(), "best"))
            timed("page by age", lambda: _page(store, Filters(), "oldest"))
            timed("search", partial(_page, store, rare, "best"))
            timed("search, a word of all", partial(_page, store, common, "best"))
            timed("search, a beginning", partial(_page, store, begins, "best"))
            timed("lanes", lambda: _lanes(store))
        if at % 50 == 0:
            memory.append(resident_mib())
    return memory


def _next(store: Store, who: str, skip: tuple[str, ...]) -> Shown | None:
    with store.session(write=True) as session:
        now = store.now_seconds(session)
        found = queue.next_item(
            session, store.settings, Filters(), reviewer=who, now_seconds=now, skip=skip
        )
        session.commit()
    return found


def _decide(store: Store, name: str, who: str) -> None:
    with store.session(write=True) as session:
        verdicts.give(
            session,
            store.settings,
            feedback_id=name,
            decision="edit",
            correction="As it should be.",
            reviewer=who,
            now_seconds=store.now_seconds(session),
        )
        session.commit()


def _undo(store: Store, name: str, who: str) -> None:
    with store.session(write=True) as session:
        review_actions.undo(session, name, reviewer=who)
        session.commit()


def _page(store: Store, filters: Filters, by: queue.Order) -> None:
    with store.session() as session:
        queue.find(session, filters, reviewer="rita", order=by)


def _lanes(store: Store) -> None:
    with store.session() as session:
        queue.lanes(session, reviewer="rita")
