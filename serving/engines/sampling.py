"""The next token of each row, greedy or drawn (torch).

A row draws with its own generator, one number per token, so that its answer depends on its seed and
not on who else is in the batch. Knows nothing of models, text or adapters.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from serving.engines.answer import Row

_FIRST_CANDIDATES = 256


def choose(logits: Tensor, rows: Sequence[Row]) -> list[int | None]:
    """Choose each row's next token.

    Args:
        logits: (rows, vocabulary).
        rows: how each chooses.

    Returns:
        Token ids; None where the logits are not numbers, which only that row has to bear.
    """
    best, index = logits.max(-1)
    finite: list[bool] = best.isfinite().tolist()
    tokens: list[int | None] = []
    for at, row in enumerate(rows):
        if not finite[at]:
            tokens.append(None)
        elif row.sampling.temperature <= 0:
            tokens.append(int(index[at]))
        else:
            sampling, chance = row.sampling, row.chance.random()
            tokens.append(draw(logits[at], sampling.temperature, sampling.top_p, chance))
    return tokens


def draw(logits: Tensor, temperature: float, top_p: float, chance: float) -> int:
    """Draw one token from the fewest, likeliest first, whose mass reaches `top_p`.

    Holtzman et al., The Curious Case of Neural Text Degeneration (2020).

    Args:
        logits: (vocabulary,).
        chance: uniform in [0, 1).
    """
    wide = logits.double()
    probabilities = torch.softmax((wide - wide.max()) / temperature, -1)
    if top_p >= 1:
        return _invert(probabilities.cumsum(-1), chance)
    total = probabilities.shape[0]
    count = min(total, _FIRST_CANDIDATES)
    # Sorting all of a large vocabulary costs more than the rest of the step, and is seldom due.
    while True:
        top = probabilities.topk(count)
        cumulative = top.values.cumsum(-1)
        if count == total or float(cumulative[-1]) >= top_p:
            break
        count = min(total, count * 16)
    nucleus = min(count, int((cumulative < top_p).sum()) + 1)
    return int(top.indices[_invert(cumulative[:nucleus], chance)])


def _invert(cumulative: Tensor, chance: float) -> int:
    """Index of the first token at which the cumulative mass exceeds `chance` of the whole."""
    found = int(torch.searchsorted(cumulative, cumulative[-1:] * chance, right=True))
    return min(found, cumulative.shape[0] - 1)
