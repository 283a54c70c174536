"""The next token of each row, greedy or drawn (torch).

A row draws with its own generator, one number per token, so that its answer depends on its seed and
not on who else is in the batch. Knows nothing of models, text or adapters.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from feedback.errors import HeedError
from serving.engines.answer import Row, Told

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
        elif row.looks_closer:
            tokens.append(_choose_closely(logits[at], row))
        elif row.sampling.temperature <= 0:
            tokens.append(int(index[at]))
        else:
            sampling, chance = row.sampling, row.chance.random()
            tokens.append(draw(logits[at], sampling.temperature, sampling.top_p, chance))
    return tokens


def penalise(
    logits: Tensor, said: Mapping[int, int], presence_penalty: float, frequency_penalty: float
) -> None:
    """Make what has been said less likely, in place, by OpenAI's formula.

    Each token said ``c`` times loses ``presence_penalty + c * frequency_penalty``.

    Args:
        logits: (vocabulary,).
        said: how often each token is in the answer so far.
    """
    if not said:
        return
    at = torch.tensor(list(said), device=logits.device)
    times = torch.tensor(list(said.values()), device=logits.device, dtype=logits.dtype)
    logits[at] -= presence_penalty + times * frequency_penalty


def told(logits: Tensor, token: int, top: int) -> Told:
    """The model's own log-probabilities of a token and of the `top` likeliest.

    Args:
        logits: (vocabulary,), as the model gave them.
    """
    logprobs = logits.double().log_softmax(-1)
    best = logprobs.topk(min(top, logprobs.shape[0]))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return Told(token, float(logprobs[token]), tuple(pairs))


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


def _choose_closely(logits: Tensor, row: Row) -> int | None:
    """As `choose`, for a row whose request asks for more than temperature and nucleus."""
    sampling, scores = row.sampling, logits
    try:
        if sampling.penalises or sampling.constraint is not None:
            scores = logits.clone()
        if sampling.penalises:
            penalise(scores, row.said, sampling.presence_penalty, sampling.frequency_penalty)
        if sampling.constraint is not None:
            sampling.constraint.mask(scores)
        if sampling.temperature <= 0:
            token = int(scores.argmax())
        else:
            chance = row.chance.random()
            token = draw(scores, sampling.temperature, sampling.top_p, chance)
        if sampling.constraint is not None:
            sampling.constraint.take(token)
    except HeedError as fault:  # of this row alone
        row.fault = fault
        return None
    if sampling.penalises:
        row.said[token] = row.said.get(token, 0) + 1
    if sampling.top_logprobs is not None:
        row.told = told(logits, token, sampling.top_logprobs)
    return token


def _invert(cumulative: Tensor, chance: float) -> int:
    """Index of the first token at which the cumulative mass exceeds `chance` of the whole."""
    found = int(torch.searchsorted(cumulative, cumulative[-1:] * chance, right=True))
    return min(found, cumulative.shape[0] - 1)
