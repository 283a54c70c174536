"""A search finds the better plan, does not take luck for it, and goes on where it was cut off."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Conflict, Invalid, Unavailable
from tests.builders import plan
from trainer import search
from trainer.curve import Progress
from trainer.enrichment import Extra
from trainer.examples import Message
from trainer.learner import Cancelled
from trainer.material import Gathered
from trainer.search import STEP_SHARES, Searched
from trainer.search_trial import Item, Preview, Scored

RATE, SHARE, STEP = 6e-3, 0.6, 0.65
PLAN = plan(learning_rate=2e-3, replay_share=0.8, replay_minimum=450, step_share=0.8)


def items(count: int, name: str) -> tuple[Item, ...]:
    row = ((Message(role="user", content="Why?"),), "So.")
    return tuple(Item(f"{name}{at}", row, f"{name} {at // 2}") for at in range(count))


PREVIEW = Preview(
    gathered=Gathered((), (), (), (), ()),
    extra=Extra(),
    dev=items(20, "dev"),
    known=items(40, "old"),
    incumbent=None,
    shown=100,
    rehearsed=400,
    words=120,
)


class World:
    """Where the best plan is known: the farther from it, the less is learned."""

    def __init__(self, *, noise: float = 0.02, gain: float = 1.0) -> None:
        self.noise, self.gain = noise, gain
        self.asked: list[tuple[float, float]] = []
        self.now = 0.0
        self.fails_at: dict[int, Exception] = {}

    def run(
        self,
        *,
        learning_rate: float,
        replay_share: float,
        step_shares: Sequence[float],
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> list[Scored]:
        self.asked.append((learning_rate, replay_share))
        if (fault := self.fails_at.get(len(self.asked) - 1)) is not None:
            raise fault
        report(Progress(1, 2, 0.5, learning_rate, 10, 0.1))
        self.now += 60
        if should_stop():
            raise Cancelled("The time is up.")
        away = abs(math.log(learning_rate / RATE)) / 2 + abs(replay_share - SHARE)
        found = []
        for step_share in step_shares:
            middle = 0.6 - self.gain * (0.3 * away + 0.2 * abs(step_share - STEP))
            learned = tuple(middle + self.noise * (-1) ** at for at in range(20))
            found.append(Scored(step_share, learned, (0.1, 0.0) * 20))
        return found


def look(world: World, journal: Path, **options: Any) -> Searched:
    given: dict[str, Any] = {"most_trials": 15, "seconds": 1e9, "clock": lambda: world.now}
    return search.search(world, PREVIEW, PLAN, journal=journal, **{**given, **options})


def test_the_better_plan_is_found_and_written_as_settings(tmp_path: Path) -> None:
    world = World()
    seen: list[tuple[int, float, str]] = []
    found = look(world, tmp_path / "j", report=lambda *told: seen.append(told))
    assert world.asked[0] == (2e-3, 0.8)
    current = next(each for each in found.tried if each.number == 0)
    assert (current.learning_rate, current.replay_share, current.step_share) == (2e-3, 0.8, 0.8)
    assert current.better == 0.0 and current.forgotten == pytest.approx(5.0)
    assert found.best == found.tried[0] and found.best.number != 0
    assert found.best.score > current.score + 5
    assert found.best.better == pytest.approx(found.best.score - current.score)
    assert found.settings["step_share"] == STEP
    assert 2e-3 < found.settings["learning_rate"] <= 8e-3
    share = found.settings["replay_share"]
    assert found.settings["replay_minimum"] == pytest.approx(100 * share / (1 - share), rel=0.05)
    assert [done for done, part, _ in seen if part == 0] == list(range(15))
    assert (3, 0.5) in {(done, part) for done, part, _ in seen}
    assert "best so far" in seen[-1][2] and "points" in seen[-1][2]


def test_a_difference_within_its_error_changes_nothing(tmp_path: Path) -> None:
    class Lucky(World):
        """Every trial is a little better than the first, on some items much and on others not."""

        def run(self, **options: Any) -> list[Scored]:
            first = not self.asked
            return [
                Scored(
                    each.step_share,
                    tuple(
                        0.5 if first else 0.5 + 0.3 * (-1) ** (at // 2) + 0.01 for at in range(20)
                    ),
                    each.forgotten,
                )
                for each in super().run(**options)
            ]

    found = look(Lucky(), tmp_path / "j", most_trials=6)
    assert found.tried[0].score > found.best.score
    assert 0 < found.tried[0].better < found.tried[0].better_error
    assert (found.best.number, found.settings) == (0, {})


def test_a_search_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    world = World()
    world.fails_at[3] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        look(world, tmp_path / "j")
    again = World()
    found = look(again, tmp_path / "j", most_trials=8)
    assert found.resumed == 3
    assert len(again.asked) == 5
    assert set(world.asked[:3]).isdisjoint(again.asked)
    assert (
        len({each.number for each in found.tried}) == len(found.tried) == 9
    )  # plan 0 at two shares
    assert look(World(), tmp_path / "j", most_trials=8).tried == found.tried


def test_a_search_that_was_killed_in_its_first_trial_starts_with_it_again(tmp_path: Path) -> None:
    world = World()
    world.fails_at[0] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        look(world, tmp_path / "j")
    again = World()
    assert look(again, tmp_path / "j", most_trials=2).tried
    assert again.asked[0] == (2e-3, 0.8)


def test_a_trial_that_diverges_is_counted_and_the_next_one_tried(tmp_path: Path) -> None:
    world = World()
    world.fails_at[2] = Invalid("Training diverged.")
    found = look(world, tmp_path / "j", most_trials=6)
    assert found.failed == 1 and len(world.asked) == 6
    broken = World()
    broken.fails_at[0] = Invalid("The base model is gone.")
    with pytest.raises(Invalid, match="gone"):
        look(broken, tmp_path / "other")


def test_the_time_is_kept(tmp_path: Path) -> None:
    world = World()
    found = look(world, tmp_path / "j", seconds=200)
    assert len(world.asked) == 4  # the fourth was not done in time
    assert {each.number for each in found.tried} <= {0, 1, 2, 3}
    with pytest.raises(Conflict, match="more minutes"):
        look(World(), tmp_path / "other", seconds=30)


def test_the_plans_own_share_of_the_way_is_among_those_tried(tmp_path: Path) -> None:
    world = World(gain=0.0)
    given = PLAN.model_copy(update={"step_share": 0.9, "replay_share": 0.0})
    seen = [
        each.step_share
        for each in search.search(
            world, PREVIEW, given, journal=tmp_path / "j", most_trials=2, seconds=1e9
        ).tried
    ]
    assert 0.9 in seen and 0.9 not in STEP_SHARES


def test_without_optuna_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(Unavailable, match=r"heed\[search\]"):
        look(World(), tmp_path / "j")


def test_the_error_counts_people_and_not_items() -> None:
    values = [1.0, 1.0, 0.0, 0.0]
    assert search.mean(values, list("abcd"))[1] == pytest.approx(0.2887, abs=1e-4)
    assert search.mean(values, list("aabb"))[1] == pytest.approx(0.5)
    assert search.mean(values, list("aaaa")) == (0.5, math.inf)
    assert search.mean([], []) == (0.0, 0.0)


def test_another_material_or_plan_has_a_journal_of_its_own(tmp_path: Path) -> None:
    def journal(seen: Preview = PREVIEW, **changes: Any) -> Path:
        return search.journal_of(tmp_path, seen, PLAN.model_copy(update=changes), "b" * 64)

    assert journal() == journal()
    fewer = Preview(**{**vars(PREVIEW), "dev": PREVIEW.dev[1:]})
    assert len({journal(), journal(fewer), journal(rank=4), journal(learning_rate=1.0)}) == 4
