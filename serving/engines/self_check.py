"""Proof, at every start, that the own loop computes what the model computes (torch).

A few rows whose tokens are fixed beforehand go through the decoder as any others do: together,
joining midway, leaving. What it makes of each position is compared with one plain forward pass over
that row alone. So no version of transformers has to be trusted, and no list of models kept. Not
seen here: adapters, and windows that are longer than these rows.
"""

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from feedback.errors import HeedError
from serving.engines.answer import Told
from serving.engines.base import BASE, Sampling
from serving.engines.decoder import Decoder

_PROMPT_TOKENS = (5, 11, 11, 7)
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Noise of the arithmetic; a key that lies in the wrong place is off by about one."""


class Rehearsed:
    """A row whose every token is known before; it keeps the logits that led there.

    It is its own constraint: that is how it sees the logits and says what comes next.
    """

    def __init__(self, tokens: Sequence[int], prompt_tokens: int) -> None:
        self.tokens = tokens
        self.prompt = tokens[:prompt_tokens]
        self.adapter = BASE
        self.sampling = Sampling(constraint=self)
        self.chance = random.Random(0)
        self.token: int | None = None
        self.looks_closer = True
        self.said: dict[int, int] = {}
        self.told: Told | None = None
        self.fault: HeedError | None = None
        self.finished = False
        self.seen: list[Tensor] = []
        """(vocabulary,) for each token after the prompt."""

    def mask(self, logits: Tensor) -> None:
        """Keep what the model made; leave only what is due."""
        due = self.tokens[len(self.prompt) + len(self.seen)]
        self.seen.append(logits.to("cpu", torch.float32, copy=True))
        logits.fill_(-torch.inf)
        logits[due] = 0

    def take(self, token: int) -> None:
        """Nothing to do: it was known."""


def rehearsed_rows(model: Any) -> list[Rehearsed]:
    """Rows of several lengths, two of them alike, for a model's vocabulary."""
    words = model.config.get_text_config().vocab_size
    return [
        Rehearsed([(31 * row + 17 * at + 3) % words for at in range(length + 16)], length)
        for row, length in enumerate(_PROMPT_TOKENS)
    ]


def tolerance(dtype: torch.dtype) -> float:
    """The `deviation` that is only noise in this type."""
    return _TOLERANCE.get(dtype, 1e-1)


def deviation(made: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The root mean square of the difference, in standard deviations of what is expected.

    Args:
        made: logits of one position each; as many as are expected, or it is NaN.

    Returns:
        Of the worst position.
    """
    if len(made) != len(expected):
        return float("nan")
    errors = [
        (one - other).square().mean().sqrt() / other.std()
        for one, other in zip(made, expected, strict=True)
    ]
    return float(torch.stack(errors).max())


def disagreement(decoder: Decoder, model: Any) -> str | None:
    """Say in what the decoder differs from its model; None where it does not."""
    try:
        rows = rehearsed_rows(model)
        _rehearse(decoder, rows)
        worst = max(deviation(row.seen, plainly(model, row)) for row in rows)
    # Another transformers, or another model, can break the loop in any way whatever.
    except Exception as error:  # noqa: BLE001
        return f"the own loop fails with it ({type(error).__name__}: {error})"
    finally:
        decoder.clear()
    allowed = tolerance(model.dtype)
    if worst <= allowed:  # false for NaN
        return None
    return f"the own loop's numbers are not the model's ({worst:.2g} off, {allowed:.2g} is noise)"


@torch.inference_mode()
def plainly(model: Any, row: Rehearsed) -> list[Tensor]:
    """The logits of the positions that a row has seen, by one pass over it alone, without a cache."""
    begin, end = len(row.prompt) - 1, len(row.prompt) - 1 + len(row.seen)
    device = next(model.parameters()).device
    logits = model(
        input_ids=torch.tensor([row.tokens[:end]], device=device), use_cache=False
    ).logits
    return list(logits[0, begin:end].float().cpu())


def _rehearse(decoder: Decoder, rows: Sequence[Rehearsed]) -> None:
    """Two begin together, one joins, one leaves, the last joins."""
    first, second, third, fourth = rows
    decoder.join([first, second])
    decoder.step()
    decoder.step()
    decoder.join([third])
    decoder.step()
    decoder.leave([first])
    decoder.join([fourth])
    decoder.step()
    decoder.step()
