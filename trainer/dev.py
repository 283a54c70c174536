"""How well an adapter does on dev, the news that was kept for tuning. No torch of its own.

One number in points, so that settings can be chosen by it. Knows nothing of what is chosen.
"""

from collections.abc import Sequence
from typing import Protocol

from trainer.examples import Example
from trainer.speaking import Fits, Foretells, GuessedAnswers, Likelihoods, Rows
from trainer.suites import agrees


class Judged(GuessedAnswers, Likelihoods, Foretells, Fits, Protocol):
    """What is needed of a model; `trainer.policy.Policy` has it."""


def points(
    policy: Judged,
    dev: Sequence[Example],
    *,
    adapter: str,
    before: str | None,
    max_new_tokens: int,
) -> float:
    """Return the share of dev that an adapter gets right, from 0 to 100.

    A demonstration is right where the model says it, a preference where the preferred answer is the
    likelier one per token, a verdict where the answer became likelier or less likely as people
    liked it or not. A piece of a document is right as far as the model foretells its tokens. What does
    not fit the context counts for nobody.

    Args:
        policy: holds both adapters.
        dev: what was kept for tuning.
        adapter: whom it is about.
        before: the adapter that it continues; None for the base model.
        max_new_tokens: answers end here.
    """
    texts = [each.target for each in dev if each.text]
    demonstrations = [e for e in dev if e.kind == "demonstration" and not e.text]
    shown = _fitting(policy, demonstrations, max_new_tokens)
    preferred = _fitting(policy, [e for e in dev if e.kind == "preference"], 1)
    judged = _fitting(policy, [e for e in dev if e.kind == "verdict"], 1)
    right: list[float] = list(policy.foretold(texts, adapter=adapter)) if texts else []
    if shown:
        said = policy.answers(
            [each.messages for each in shown],
            adapter=adapter,
            max_new_tokens=max_new_tokens,
            guesses=[each.target for each in shown],
        )
        right += [agrees(text, each.target) for text, each in zip(said, shown, strict=True)]
    if preferred:
        better = policy.log_likelihood(_targets(preferred), adapter=adapter)
        worse = policy.log_likelihood(
            [(each.messages, each.rejected or "") for each in preferred], adapter=adapter
        )
        right += [ours > theirs for ours, theirs in zip(better, worse, strict=True)]
    if judged:
        now = policy.log_likelihood(_targets(judged), adapter=adapter)
        then = policy.log_likelihood(_targets(judged), adapter=before)
        right += [
            (new > old) == each.liked
            for each, new, old in zip(judged, now, then, strict=True)
            if new != old
        ]
    return 100 * sum(right) / len(right) if right else 0.0


def _fitting(policy: Judged, examples: Sequence[Example], max_new_tokens: int) -> list[Example]:
    fits = [True] * len(examples)
    for texts in ([e.target for e in examples], [e.rejected or "" for e in examples]):
        rows = [(each.messages, text) for each, text in zip(examples, texts, strict=True)]
        found = policy.fits(rows, max_new_tokens=max_new_tokens)
        fits = [one and other for one, other in zip(fits, found, strict=True)]
    return [each for each, fit in zip(examples, fits, strict=True) if fit]


def _targets(examples: Sequence[Example]) -> Rows:
    return [(each.messages, each.target) for each in examples]
