"""Exactly one process acts, also when one was asleep."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlmodel import select

from feedback.errors import Conflict
from feedback.store import Store
from trainer import lease
from trainer.lease import Held
from trainer.models import Lease


def acquire(store: Store, holder: str, *, seconds: float = 20, name: str = "round") -> Held | None:
    with store.session(write=True) as session:
        held = lease.acquire(store, session, name, holder=holder, seconds=seconds)
        session.commit()
    return held


def is_free(store: Store, name: str = "round") -> bool:
    with store.session() as session:
        return lease.is_free(store, session, name)


def check(store: Store, held: Held) -> None:
    with store.session(write=True) as session:
        lease.check(session, held)


def test_one_holds_it_and_another_does_not_get_it(store: Store) -> None:
    assert is_free(store)
    held = acquire(store, "a")
    assert held is not None
    assert acquire(store, "b") is None
    assert not is_free(store)
    assert acquire(store, "b", name="other") is not None
    check(store, held)


def test_a_holder_that_slept_through_its_lease_cannot_write(store: Store) -> None:
    asleep = acquire(store, "a", seconds=-1)
    assert asleep is not None
    awake = acquire(store, "b")
    assert awake is not None
    assert awake.fence > asleep.fence
    with pytest.raises(Conflict):
        check(store, asleep)
    with pytest.raises(Conflict), store.session(write=True) as session:
        lease.renew(store, session, asleep, seconds=20)
    with pytest.raises(Conflict), store.session(write=True) as session:
        lease.release(store, session, asleep)
    check(store, awake)
    assert not is_free(store)


def test_a_fence_never_comes_back(store: Store) -> None:
    fences = []
    for _ in range(3):
        held = acquire(store, "a", seconds=-1)
        assert held is not None
        fences.append(held.fence)
    assert fences == [1, 2, 3]


def test_renewing_keeps_it_and_letting_go_frees_it_at_once(store: Store) -> None:
    held = acquire(store, "a", seconds=0.5)
    assert held is not None
    with store.session(write=True) as session:
        lease.renew(store, session, held, seconds=60)
        session.commit()
    with store.session() as session:
        left = session.exec(select(Lease)).one().expires_at - store.now_seconds(session)
    assert 50 < left <= 60
    with store.session(write=True) as session:
        lease.release(store, session, held)
        session.commit()
    assert is_free(store)
    assert acquire(store, "b") is not None


def test_the_lease_of_a_dead_process_ends_and_nobody_elses(store: Store) -> None:
    def expire(pid: int) -> None:
        with store.session(write=True) as session:
            lease.expire(store, session, "round", pid=pid)
            session.commit()

    expire(41)  # nobody ever held it
    acquire(store, lease.holder_name(42))
    expire(41)
    assert not is_free(store)
    expire(42)
    assert is_free(store)


def test_two_that_come_first_at_once_are_one_holder_and_one_refusal(store: Store) -> None:
    for attempt in range(4):
        together = Barrier(2)

        def compete(
            holder: str, together: Barrier = together, name: str = f"round-{attempt}"
        ) -> Held | None:
            together.wait()
            return acquire(store, holder, name=name)

        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(compete, ["a", "b"]))
        assert sum(held is not None for held in found) == 1


def test_a_guarded_write_is_undone_when_the_lease_is_gone(store: Store) -> None:
    """The check stands in the same transaction as the write, in either order."""
    asleep = acquire(store, "a", seconds=-1)
    assert asleep is not None
    acquire(store, "b")
    with pytest.raises(Conflict), store.session(write=True) as session:
        session.add(Lease(name="written", holder="a", fence=1, expires_at=0))
        session.flush()
        lease.check(session, asleep)
        session.commit()
    with store.session() as session:
        assert [row.name for row in session.exec(select(Lease))] == ["round"]
