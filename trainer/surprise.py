"""How unlikely the live model finds what it should still know. No torch of its own.

Of what people taught that is the loss. General material the base model had never quite learned
either, or it could be said in another way: what counts there is by how much more the live model is
surprised than the base, so that what was lost comes first and what was always odd does not (the
reducible loss: Mindermann et al., 2022, "Prioritized training on points that are learnable, worth
learning, and not yet learnt", https://arxiv.org/abs/2206.07137).

The candidates for replay are few thousand short answers; their likelihoods are remembered by model
and answer, so that rounds which follow one that was not promoted ask again for the new ones alone.
"""

import json
import math
from collections.abc import Sequence
from typing import Protocol

from trainer.references import References
from trainer.replay import Losses, Old
from trainer.speaking import Fits, Likelihoods

PRECISION = "policy"
"""Mean likelihoods that a policy computes are not mistaken for a learner's sums."""


class Weighed(Likelihoods, Fits, Protocol):
    """What is needed of a model; `trainer.policy.Policy` has it."""


def losses(policy: Weighed, *, adapter: str | None, remembered: References) -> Losses:
    """Return what tells each old answer's loss: nats per token, under one adapter.

    What does not fit the context cannot be learned either, and surprises least of all.

    Args:
        policy: the model.
        adapter: its name in the policy; None for the base model.
        remembered: of this model and adapter.
    """

    def ask(olds: Sequence[Old]) -> list[float]:
        rows = [(old.messages, old.target) for old in olds]
        fitting = [at for at, fits in enumerate(policy.fits(rows)) if fits]

        def compute(numbers: Sequence[int]) -> list[float]:
            asked = [rows[fitting[number]] for number in numbers]
            return [-value for value in policy.log_likelihood(asked, adapter=adapter)]

        found = [-math.inf] * len(rows)
        keys = [f"{PRECISION} {json.dumps(rows[at], sort_keys=True)}" for at in fitting]
        for at, value in zip(fitting, remembered.values(keys, compute), strict=True):
            found[at] = value
        return found

    return ask


def slipped(live: Losses, base: Losses) -> Losses:
    """Return what tells how far each old answer has slipped, from two models' losses.

    Args:
        live: of the live model.
        base: of the base model, which is asked about general material only; the same as `live`
            where the base model is live: then nothing of that has slipped, and nobody is asked.
    """

    def ask(olds: Sequence[Old]) -> list[float]:
        found = [0.0] * len(olds)
        general = [at for at, old in enumerate(olds) if old.origin == "general"]
        if live is not base:
            some = [olds[at] for at in general]
            for at, now, before in zip(general, live(some), base(some), strict=True):
                fits = math.isfinite(before)  # what does not, fits nobody's context
                found[at] = now - before if fits else now
        past = [at for at, old in enumerate(olds) if old.origin != "general"]
        for at, now in zip(past, live([olds[at] for at in past]), strict=True):
            found[at] = now
        return found

    return ask
