"""Less weight for votes on answers that the present model would hardly give. No torch of its own.

A preference or a thumb is about what some adapter said. Where that was an older one, learning from
it is off-policy: it shapes answers that are hardly given any more. Knows no database.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from feedback.harvest import Word
from trainer.examples import Example, Message
from trainer.speaking import Fits, Likelihoods, Rows


class Weighed(Likelihoods, Fits, Protocol):
    """What weighing needs of a model with adapters; `trainer.policy.Policy` has it."""

    def typicality(self, rows: Rows, *, adapter: str | None) -> list[float]:
        """Mean of each token's log-probability above the one expected of a sample, in nats."""


def weighted(
    examples: Sequence[Example],
    words: Sequence[Word],
    *,
    by: Literal["ratio", "wpo"],
    clip: float,
    policy: Weighed,
    present: str | None,
    present_id: str,
    behaviours: Mapping[str, str | None],
) -> tuple[list[Example], str]:
    """Return the examples with weights for drift, and a note on those that could not be weighed.

    Every answer that an older adapter gave has a factor, and an example the product over its
    answers, at most `clip`. What people wrote themselves has none: nobody sampled it.

    - ``ratio``: likelihood under the present model over that under the adapter that gave it, of the
      mean token: importance weights, truncated as in Ionides 2008, "Truncated importance
      sampling", and taken per token, since products over long answers are all or nothing (Zheng et
      al. 2025, https://arxiv.org/abs/2507.18071, equation 7).
    - ``wpo``: how likely the present model gives it, relative to what it would give: the mean of
      log p(token) − log Σ p². WPO, Zhou et al. 2024, https://arxiv.org/abs/2406.11827, equation 2
      with sampled alignment; computed with the model that the round starts from, so once.

    Args:
        examples: of a round; only preferences and verdicts on older adapters' answers change.
        words: the round's feedback, which says who gave each answer.
        by: which weight.
        clip: the largest.
        policy: the models.
        present: the name in `policy` of the adapter that the round continues.
        present_id: under which id exchanges name it.
        behaviours: name in `policy` of each older adapter, by id.
    """
    by_id = {word.feedback_id: word for word in words}
    asked: dict[str | None, dict[tuple[int, int], tuple[Sequence[Message], str]]] = {}
    unknown = 0
    for at, example in enumerate(examples):
        word = by_id.get(example.feedback_ids[0]) if example.feedback_ids else None
        if word is None or example.kind == "demonstration" or word.adapter_id == present_id:
            continue
        if by == "ratio" and word.adapter_id not in behaviours:
            unknown += 1
            continue
        name = behaviours[word.adapter_id] if by == "ratio" else present
        for number, answer in enumerate(_given(example, word)):
            asked.setdefault(name, {})[at, number] = (example.messages, answer)
    factors: dict[int, float] = {}
    for name, rows in asked.items():
        fitting = policy.fits(list(rows.values()))
        keys = [key for key, fits in zip(rows, fitting, strict=True) if fits]
        kept = [rows[key] for key in keys]
        if by == "ratio":
            ours = policy.log_likelihood(kept, adapter=present)
            theirs = policy.log_likelihood(kept, adapter=name)
            drift = [one - other for one, other in zip(ours, theirs, strict=True)]
        else:
            drift = policy.typicality(kept, adapter=present)
        for (at, _), each in zip(keys, drift, strict=True):
            factors[at] = factors.get(at, 0.0) + each
    return [
        replace(example, weight=example.weight * math.exp(min(factors[at], math.log(clip))))
        if at in factors
        else example
        for at, example in enumerate(examples)
    ], _note(unknown)


def _given(example: Example, word: Word) -> list[str]:
    """The answers of an example that a model gave."""
    if example.kind == "verdict":
        return [example.target]
    ours = [example.rejected or ""]
    return ours if word.correction is not None else [example.target, *ours]


def _note(unknown: int) -> str:
    if not unknown:
        return ""
    return (
        f"{unknown} preferences and thumbs are about answers of adapters that cannot be loaded any "
        "more, or of no adapter of ours; they count in full."
    )
