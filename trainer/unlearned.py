"""What the live model should say and does not: it is taught again. Pure.

A round's replay shows each old answer a few times, which keeps what was learned. What earlier rounds
taught and did not stick, or was lost since, has to be shown as often as something new; and so has
general material that the base model knew. Whoever learns with flash cards does the same: what one
fails at is asked more often (Leitner, 1972, *So lernt man lernen*; with neural networks: Amiri, Miller
and Savova, 2017, "Repeat before forgetting", https://aclanthology.org/D17-1255/).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from feedback.words import content_words
from trainer import exposure
from trainer.examples import Example
from trainer.speaking import Fits, GuessedAnswers


class Asked(GuessedAnswers, Fits, Protocol):
    """What is needed of a model; `trainer.policy.Policy` has it."""


def taught_again(
    training: Sequence[Example],
    *,
    policy: Asked,
    present: str | None,
    exposures: int,
    epochs: float,
    max_new_tokens: int,
    doubtful: frozenset[str] = frozenset(),
) -> list[Example]:
    """Return a round's examples, those that are old and were lost repeated as what is new is.

    Of what earlier rounds taught that is what the live model answers otherwise, of general material
    what it answers otherwise and the base model does not: there are other ways to say that, or it
    was never known.

    Args:
        training: in order.
        policy: the model.
        present: name in `policy` of the adapter that the round continues.
        exposures: an answer that was lost is shown at least so often, over all passes.
        epochs: passes that the round makes.
        max_new_tokens: of an answer; what the context has no room for is not asked.
        doubtful: ids of feedback that may be wrong; what comes from it is rehearsed and no more.
    """
    old = [
        at
        for at, each in enumerate(training)
        if each.source != "new" and each.kind == "demonstration" and not each.text
        if doubtful.isdisjoint(each.feedback_ids)
    ]
    room = policy.fits([(training[at].messages, training[at].target) for at in old])
    old = [at for at, fits in zip(old, room, strict=True) if fits]

    def otherwise(asked: Sequence[int], adapter: str | None) -> list[int]:
        """Which of them are answered with something else."""
        if not asked:
            return []
        said = policy.answers(
            [training[at].messages for at in asked],
            adapter=adapter,
            max_new_tokens=max_new_tokens,
            guesses=[training[at].target for at in asked],
        )
        return [
            at
            for at, answer in zip(asked, said, strict=True)
            if _is_something_else(answer, training[at].target)
        ]

    lost = otherwise(old, present)
    never = set(otherwise([at for at in lost if training[at].source == "general"], None))
    lost = [at for at in lost if at not in never]
    again = exposure.repeated(
        [replace(training[at], in_turn=1) for at in lost], exposures=exposures, epochs=epochs
    )
    found = list(training)
    for at, each in zip(lost, again, strict=True):
        found[at] = each
    return found


def _is_something_else(said: str, taught: str) -> bool:
    """Whether each leaves out something that the other says; else only the manner differs."""
    ours, theirs = content_words(said), content_words(taught)
    return bool(ours - theirs and theirs - ours)
