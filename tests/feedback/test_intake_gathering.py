"""An event loop hands over what it takes in while it is busy, all of it at once, and never waits long."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from sqlmodel import func, select

from feedback import intake
from feedback.intake import Intake, Item, Result, Taken, Told
from feedback.models import Feedback
from feedback.store import Store
from tests import builders

WAIT_SECONDS = 20


class Counting(Intake):
    """Remembers how many rows each commit had."""

    commits: list[int]

    def _stored(self, items: Sequence[Item], results: Sequence[Result]) -> None:
        self.commits.append(len(items))


@pytest.fixture
def taking(store: Store) -> Iterator[Counting]:
    taking = Counting(store, store.settings)
    taking.commits = []
    taking.start()
    yield taking
    taking.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest wait never ends, so that what is handed over was handed over for its own reason."""
    monkeypatch.setattr(intake, "GATHER_SECONDS", 3600.0)


async def later(taking: Intake, told: Told, rounds: int) -> Taken:
    """Take something after the loop has gone round so often, as requests are read one by one."""
    for _ in range(rounds):
        await asyncio.sleep(0)
    return await taking.take(told)


async def busy(taking: Intake, told: Told) -> int:
    """Take in something in every round of the loop until the first of it is answered."""
    async with asyncio.timeout(WAIT_SECONDS):
        waiting = [asyncio.ensure_future(taking.take(told))]
        while not waiting[0].done():
            await asyncio.sleep(0)
            if len(waiting) < intake.QUEUE:
                waiting.append(asyncio.ensure_future(taking.take(told)))
        answers = await asyncio.gather(*waiting)
    return len(answers)


def stored(store: Store) -> int:
    with store.session() as session:
        return session.exec(select(func.count()).select_from(Feedback)).one()


@pytest.mark.usefixtures("patient")
def test_what_arrives_while_the_loop_is_busy_shares_one_commit(
    store: Store, taking: Counting
) -> None:
    told = builders.told(completion_id=builders.recorded(store))

    async def many() -> list[Taken]:
        async with asyncio.timeout(WAIT_SECONDS):
            return await asyncio.gather(*(later(taking, told, at // 4) for at in range(40)))

    answers = asyncio.run(many())
    assert taking.commits == [40]
    assert len({taken.kept.feedback_id for taken in answers}) == stored(store) == 40


@pytest.mark.usefixtures("patient")
def test_commits_keep_their_distance_while_several_come_at_once(
    store: Store, taking: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PACE_SECONDS", 0.3)
    told = builders.told(completion_id=builders.recorded(store))

    async def many() -> float:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(taking.take(told), taking.take(told))
            began = loop.time()
            apart = [asyncio.ensure_future(later(taking, told, 20 * at)) for at in range(10)]
            await asyncio.gather(*apart)
            return loop.time() - began

    seconds = asyncio.run(many())
    assert sum(taking.commits) == stored(store) == 12
    assert len(taking.commits) <= 2 + seconds / 0.3


@pytest.mark.usefixtures("patient")
def test_one_alone_does_not_wait_for_others(
    store: Store, taking: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PACE_SECONDS", 3600.0)
    told = builders.told(completion_id=builders.recorded(store))

    async def one_by_one() -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(3):
                await taking.take(told)

    asyncio.run(one_by_one())
    assert taking.commits == [1, 1, 1]


def test_a_loop_that_never_rests_hands_over_in_time(
    store: Store, taking: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_SECONDS", 0.002)
    monkeypatch.setattr(intake, "BATCH", 10**9)  # for no other reason
    told = builders.told(completion_id=builders.recorded(store))
    assert asyncio.run(busy(taking, told)) == stored(store)


@pytest.mark.usefixtures("patient")
def test_a_loop_that_never_rests_hands_over_what_fills_a_transaction(
    store: Store, taking: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH", 8)
    told = builders.told(completion_id=builders.recorded(store))
    assert asyncio.run(busy(taking, told)) == stored(store)


@pytest.mark.usefixtures("patient")
def test_who_is_in_haste_takes_along_what_was_being_gathered(
    store: Store, taking: Counting
) -> None:
    """A thread's submission is due at once; the loop then finds nothing left to hand over."""
    told = builders.told(completion_id=builders.recorded(store))

    async def mixed() -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(3):  # the writer must live on
                gathered = asyncio.ensure_future(taking.take(told))
                await asyncio.sleep(0)
                # Blocks the loop, which so cannot hand over by itself.
                taking.submit(told).result(WAIT_SECONDS)
                await gathered

    asyncio.run(mixed())
    assert taking.commits == [2, 2, 2]


@pytest.mark.usefixtures("patient")
def test_a_loop_that_ended_while_it_gathered_holds_up_no_other(
    store: Store, taking: Counting
) -> None:
    told = builders.told(completion_id=builders.recorded(store))

    async def left() -> None:
        waiting = taking.take(told)
        waiting.send(None)
        waiting.close()

    async def stayed() -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            await taking.take(told)

    ending = asyncio.new_event_loop()
    ending.run_until_complete(left())
    ending.close()
    assert taking._gathering is ending
    asyncio.run(stayed())
    assert stored(store) == 2


@pytest.mark.usefixtures("patient")
def test_what_is_being_gathered_at_the_end_is_written(store: Store) -> None:
    taking = Intake(store, store.settings)
    taking.start()
    told = builders.told(completion_id=builders.recorded(store))

    async def ended() -> list[Taken]:
        waiting = [asyncio.ensure_future(taking.take(told)) for _ in range(5)]
        await asyncio.sleep(0)
        taking.stop()
        async with asyncio.timeout(WAIT_SECONDS):
            return await asyncio.gather(*waiting)

    assert len(asyncio.run(ended())) == stored(store) == 5
