"""How long to wait before another restart, and when to give up."""

import asyncio
from types import SimpleNamespace

import pytest

from serving.engines import restarts


def test_the_pause_doubles_up_to_a_bound_and_a_minute_forgives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    now = [1000.0]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(restarts, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(restarts, "time", SimpleNamespace(monotonic=lambda: now[0]))

    async def play() -> None:
        budget = restarts.Restarts(most=4, backoff_seconds=1, max_backoff_seconds=3)
        while not budget.spent:
            await budget.pause()
        assert slept == [1, 2, 3, 3]
        now[0] += restarts.WINDOW_SECONDS + 1
        assert budget.lately == 0
        await budget.pause()
        assert slept[-1] == 1

    asyncio.run(play())
