"""Pieces of work side by side: their order, their start and their faults."""

import threading
from threading import Event

import pytest

from trainer.lanes import Lanes


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_pieces(count: int) -> None:
    with Lanes(count) as lanes:
        assert list(lanes.map(lambda n: n * n, [3, 1, 2], cost=float)) == [9, 1, 4]
        assert list(lanes.map(lambda n: n, [], cost=float)) == []


def test_pieces_run_at_the_same_time_and_the_dearest_starts_first() -> None:
    both = threading.Barrier(2, timeout=60)
    begun: list[int] = []

    def work(piece: int) -> str:
        begun.append(piece)
        if piece > 1:
            both.wait()  # neither gets past it alone
        return threading.current_thread().name

    with Lanes(2) as lanes:
        names = list(lanes.map(work, [1, 5, 7], cost=float))
    assert begun[0] == 7
    assert names[1] != names[2]


def test_one_lane_stays_in_the_callers_thread() -> None:
    with Lanes(1) as lanes:
        names = lanes.map(lambda _: threading.current_thread().name, [1, 2], cost=float)
        assert set(names) == {threading.current_thread().name}


@pytest.mark.parametrize("count", [1, 2])
def test_a_fault_reaches_the_caller_and_ends_what_has_not_begun(count: int) -> None:
    begun: list[int] = []

    def work(piece: int) -> int:
        begun.append(piece)
        if piece == 1:
            raise ValueError("no")
        Event().wait(0.001)  # or another lane could do them all before the fault is looked at
        return piece

    with Lanes(count) as lanes, pytest.raises(ValueError, match="no"):
        list(lanes.map(work, [1, *[0] * 500], cost=float))
    assert len(begun) < 500
