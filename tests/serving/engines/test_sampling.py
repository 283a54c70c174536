from collections import Counter
from random import Random

import torch

from serving.engines.sampling import draw


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
