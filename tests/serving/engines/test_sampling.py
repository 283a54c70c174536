import asyncio
import math
from collections import Counter
from random import Random
from typing import Any

import pytest
import torch

from feedback.errors import Invalid
from serving.engines.answer import Answer
from serving.engines.base import Sampling
from serving.engines.sampling import choose, draw, penalise
from serving.engines.text_stream import TextStream


def frequencies(logits: torch.Tensor, temperature: float, top_p: float) -> dict[int, float]:
    chance = Random(0)
    counts = Counter(draw(logits, temperature, top_p, chance.random()) for _ in range(4000))
    return {token: count / 4000 for token, count in counts.items()}


def test_draws_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    seen = frequencies(logits, 2.0, 1.0)
    expected = torch.softmax(logits / 2.0, -1).tolist()
    assert all(abs(seen[token] - expected[token]) < 0.03 for token in range(4))


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    seen = frequencies(logits, 1.0, 0.65)
    assert set(seen) == {2, 3}
    assert abs(seen[3] - 4 / 7) < 0.03


def test_top_p_reaches_beyond_the_first_candidates_of_a_flat_distribution() -> None:
    chance = Random(0)
    drawn = {draw(torch.zeros(5000), 1.0, 0.9, chance.random()) for _ in range(2000)}
    assert len(drawn) > 1000


def test_a_temperature_near_zero_is_greedy() -> None:
    assert draw(torch.tensor([1.0, 1.1, 0.9]), 1e-300, 1.0, 0.999) == 1


LOOP = asyncio.new_event_loop()
LOOP.close()  # nothing is delivered here


def row(**fields: Any) -> Answer:
    sampling = Sampling(**fields)
    return Answer(
        prompt=[1],
        adapter="base",
        sampling=sampling,
        max_tokens=9,
        end_tokens=frozenset(),
        text=TextStream(lambda ids: ""),
        loop=LOOP,
    )


def test_penalties_follow_the_formula() -> None:
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0])
    penalise(logits, {1: 3, 3: 1}, 0.5, 0.25)
    assert logits.tolist() == [1.0, 2.0 - 0.5 - 3 * 0.25, 3.0, 4.0 - 0.5 - 0.25]


def test_a_penalty_counts_what_this_answer_has_said_and_no_other() -> None:
    logits = torch.tensor([[2.0, 1.9, 1.0], [2.0, 1.9, 1.0], [2.0, 1.9, 1.0]])
    rows = [row(presence_penalty=0.2), row(), row(frequency_penalty=0.06)]
    said = [choose(logits, rows) for _ in range(4)]
    assert [tokens[0] for tokens in said] == [0, 1, 0, 0]
    assert [tokens[1] for tokens in said] == [0, 0, 0, 0]
    assert [tokens[2] for tokens in said] == [0, 0, 1, 0]
    assert logits[0].tolist() == pytest.approx([2.0, 1.9, 1.0]), "the batch's numbers changed"


def test_log_probabilities_are_the_models_own_whatever_else_is_asked_for() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    asked = row(top_logprobs=2, temperature=0.1, presence_penalty=2.0, seed=1)
    for _ in range(2):
        choose(logits, [asked])
        assert asked.told is not None
        expected = [math.log(0.5), math.log(0.3), math.log(0.2)]
        assert asked.told.logprob == pytest.approx(expected[asked.told.token])
        assert [token for token, _ in asked.told.top] == [0, 1]
        assert [value for _, value in asked.told.top] == pytest.approx(expected[:2])


class Alternates:
    """Even, odd, even …; refuses to go on after three."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.finished = False

    def mask(self, logits: torch.Tensor) -> None:
        if len(self.taken) == 3:
            raise Invalid("no more", param="response_format")
        logits[1 - len(self.taken) % 2 :: 2] = float("-inf")

    def take(self, token: int) -> None:
        self.taken.append(token)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_constraint_decides_what_can_be_said_and_fails_alone(temperature: float) -> None:
    logits = torch.tensor([[1.0, 9.0, 2.0, 3.0]] * 2)
    bound, free = row(constraint=Alternates(), temperature=temperature, seed=3), row()
    said = [choose(logits, [bound, free]) for _ in range(4)]
    bound_said = [tokens[0] for tokens in said]
    assert [token % 2 for token in bound_said if token is not None] == [0, 1, 0]
    assert bound_said[3] is None
    assert isinstance(bound.fault, Invalid)
    bound.token = None
    assert bound.next_chunk() is bound.fault
    assert [tokens[1] for tokens in said] == [1, 1, 1, 1]
