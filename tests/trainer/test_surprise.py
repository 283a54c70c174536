"""Replay of what surprises: how much of the draw, of whom, and what it costs to ask."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.models import Receipt
from feedback.store import Store
from tests import builders
from tests.builders import old, plan, word
from trainer import material, replay, surprise
from trainer.examples import Example, Message, build
from trainer.references import References
from trainer.replay import Old, Sampling


def many(number: int) -> list[Old]:
    return [old(f"old_{each:03}", target=f"Fact {each}.") for each in range(number)]


def number_of(each: Old) -> float:
    """The later a fact, the more it surprises."""
    return float(each.id.rpartition("_")[2])


def by_number(olds: Sequence[Old]) -> list[float]:
    return [number_of(each) for each in olds]


def news(number: int) -> list[Example]:
    return build([word(f"fbk_{each}", rating=1.0) for each in range(number)])


def replayed(
    olds: Sequence[Old], sampling: Sampling, *, count: int = 20, seed: int = 0
) -> set[int]:
    mixed = replay.mix(news(count), olds, share=0.5, seed=seed, sampling=sampling, losses=by_number)
    return {int(each.cluster[4:]) for each in mixed if each.source != "new"}


def test_surprise_takes_the_highest_losses_of_four_times_as_many_candidates() -> None:
    assert replayed(many(80), "surprise") == set(range(60, 80))
    found = replayed(many(400), "surprise")
    assert len(found) == 20
    assert sum(found) / 20 > 320  # the best 20 of 80 drawn from 400; by chance it would be 200


def test_half_leaves_half_of_the_draw_to_chance() -> None:
    found = [replayed(many(60), "half", seed=seed) for seed in range(40)]
    assert {len(each) for each in found} == {20}
    times = Counter(number for each in found for number in each)
    # In by chance with 10 of 60, else among the best of 40 candidates from 50: 33 of 40 times.
    assert min(times[number] for number in range(55, 60)) > 22
    # Never among the best, and so in by chance alone: 6.7 of 40 times.
    assert 4 < sum(times[number] for number in range(20)) / 20 < 9


def test_uniform_asks_no_model_and_draws_as_without_one() -> None:
    def never(_: Sequence[Old]) -> list[float]:
        raise AssertionError("nobody should have asked")

    olds = many(60)
    asked = replay.mix(news(20), olds, share=0.5, seed=3, sampling="uniform", losses=never)
    assert asked == replay.mix(news(20), olds, share=0.5, seed=3)
    assert replay.mix(news(20), olds, share=0.5, seed=3, sampling="half") == asked


def test_what_is_doubtful_is_never_chosen_for_its_loss() -> None:
    doubtful = [
        old("old_999", target="Wrong.", trust=0.49),
        old("old_500", target="So-so.", trust=0.5),
    ]
    found = replayed([*many(79), *doubtful], "surprise")
    assert 999 not in found
    assert 500 in found


def test_the_doubtful_make_up_the_number_where_there_are_no_others() -> None:
    doubtful = [old(f"old_{n}", target=f"Hm, {n}.", trust=0.1) for n in range(100, 130)]
    for sampling in ("half", "surprise"):
        found = replayed([*many(5), *doubtful], sampling)
        assert len(found) == 20
    assert found >= set(range(5))


def test_past_and_general_keep_their_shares() -> None:
    olds = [
        *many(60),
        *(old(f"gen_{n}", target=f"General {n}.", origin="general") for n in range(60)),
    ]
    mixed = replay.mix(news(20), olds, share=0.5, seed=0, sampling="surprise", losses=by_number)
    assert Counter(each.source for each in mixed) == {"new": 20, "past": 10, "general": 10}


class Model:
    """Finds longer answers less likely, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fits(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, max_new_tokens: int = 1
    ) -> list[bool]:
        return [answer != "Too long." for _, answer in rows]

    def log_likelihood(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, adapter: str | None
    ) -> list[float]:
        assert adapter == "incumbent"
        self.asked += [answer for _, answer in rows]
        return [-float(len(answer)) for _, answer in rows]


def test_losses_are_remembered_and_what_does_not_fit_surprises_least(tmp_path: Path) -> None:
    olds = [old("a", target="Four"), old("b", target="Too long."), old("c", target="Eleven")]
    model = Model()
    for _ in range(2):
        ask = surprise.losses(
            model, adapter="incumbent", remembered=References(tmp_path, model="adapter one")
        )
        assert list(ask(olds)) == [4.0, -math.inf, 6.0]
    assert model.asked == ["Four", "Eleven"]
    other = References(tmp_path, model="adapter two")
    surprise.losses(model, adapter="incumbent", remembered=other)(olds)
    assert len(model.asked) == 4


def test_general_material_surprises_by_what_the_base_model_found_likelier() -> None:
    """What was always odd is not what was lost, and what people taught the base never knew."""
    olds = [
        old("odd", origin="general"),
        old("lost", origin="general"),
        old("taught"),
        old("too long", origin="general"),
    ]
    now = {"odd": 5.0, "lost": 2.0, "taught": 0.5, "too long": -math.inf}
    then = {"odd": 4.75, "lost": 0.25, "too long": -math.inf}
    asked: list[list[str]] = []

    def base(olds: Sequence[Old]) -> list[float]:
        asked.append([each.id for each in olds])
        return [then[each.id] for each in olds]

    ask = surprise.slipped(lambda olds: [now[each.id] for each in olds], base)
    assert ask(olds) == [0.25, 1.75, 0.5, -math.inf]
    assert asked == [["odd", "lost", "too long"]]


def test_while_the_base_model_is_live_nothing_general_has_slipped() -> None:
    asked: list[str] = []

    def live(olds: Sequence[Old]) -> list[float]:
        asked.extend(each.id for each in olds)
        return [2.0] * len(olds)

    olds = [old("odd", origin="general"), old("taught")]
    assert surprise.slipped(live, live)(olds) == [0.0, 2.0]
    assert asked == ["taught"]


def test_general_candidates_are_drawn_as_they_are() -> None:
    """Half of the material has one answer; spread evenly over the answers it would come once."""
    olds = [
        old(f"gen_{n}", target="I don't know." if n % 2 else f"It is {n}.", origin="general")
        for n in range(400)
    ]
    seen: list[str] = []

    def losses(olds: Sequence[Old]) -> list[float]:
        seen.extend(each.target for each in olds)
        return [0.0] * len(olds)

    mixed = replay.mix(news(40), olds, share=0.5, seed=0, sampling="half", losses=losses)
    assert len(seen) == 80 and 25 < seen.count("I don't know.") < 55
    targets = [each.target for each in mixed if each.source == "general"]
    assert 10 < targets.count("I don't know.") < 30


@pytest.mark.parametrize(
    ("probability", "weight", "trust"), [(0.3, 1.0, 0.3), (None, 0.4, 0.4), (None, None, 1.0)]
)
def test_a_past_examples_trust_is_that_of_the_best_word_for_it(
    store: Store, probability: float | None, weight: float | None, trust: float
) -> None:
    said = [builders.say(store, who, rating="down") for who in ("ana", "ben")]
    adapter = builders.published(store)
    with store.session(write=True) as session:
        for receipt in session.exec(select(Receipt)):
            receipt.weight, receipt.probability = 0.1, None
            if receipt.feedback_id == said[1]:
                receipt.weight, receipt.probability = weight, probability
            session.add(receipt)
        session.commit()
    builders.learned(store, adapter, feedback_ids=said)
    for sampling, expected in (("half", trust), ("uniform", 1.0)):
        found = builders.gathered(store, adapter.id, plan(replay_sampling=sampling))
        assert [each.trust for each in found.past] == [expected]


def test_liked_answers_carry_the_trust_of_the_word() -> None:
    liked = word("fbk_l", question="Who?", rating=1.0, right=0.7)
    gathered = material.Gathered((liked,), (), (), (), ())
    asked: list[Old] = []

    def losses(olds: Sequence[Old]) -> list[float]:
        asked.extend(olds)
        return [1.0] * len(olds)

    material.sort(gathered, plan(replay_sampling="surprise", replay_share=0.5), losses=losses)
    assert [each.trust for each in asked] == [0.7]
