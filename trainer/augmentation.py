"""More ways to ask for what was corrected: paraphrased and mistyped questions, the answer verbatim.

Knows no database. One correction is one question put once; without others the model learns those
words and not the fact.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from feedback.words import content_words, normalised, words
from trainer.examples import Example, Made, Message
from trainer.paraphrases import paraphrases
from trainer.settings import Plan
from trainer.typing_noise import with_errors


@dataclass(frozen=True)
class Told:
    """What a service made of questions.

    Attributes:
        paraphrases: for each question, those that keep its meaning, as far as can be told.
        note: what went wrong, for whoever runs the round; empty where nothing did.
    """

    paraphrases: tuple[tuple[str, ...], ...]
    note: str = ""


class Paraphraser(Protocol):
    """Whoever paraphrases instead of the built-in patterns."""

    def paraphrases(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        count: int,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Told:
        """Up to so many paraphrases of each question, given with its answer."""


def augmented(
    examples: Sequence[Example],
    plan: Plan,
    *,
    service: Paraphraser | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Example], str]:
    """Return the examples with copies of their new demonstrations, and a note where some failed.

    A copy keeps everything but the last question: answer, feedback ids (so that erasure finds it)
    and cluster. Copies follow what they were made of.

    Args:
        examples: of a round, in order.
        plan: how many paraphrases, how much typing noise, what copies weigh, the seed.
        service: asked first for paraphrases; patterns fill up what it does not give.
        should_stop: asked while the service is.
    """
    at_new = [at for at, each in enumerate(examples) if _may_grow(each)]
    told = Told(((),) * len(at_new))
    if service is not None and plan.augment_prompts and at_new:
        pairs = [(_question(examples[at]), examples[at].target) for at in at_new]
        told = service.paraphrases(pairs, count=plan.augment_prompts, should_stop=should_stop)
    copies: dict[int, list[Example]] = {}
    for at, given in zip(at_new, told.paraphrases, strict=True):
        # By what was asked and not by its place: who else spoke must change nothing here.
        rng = random.Random(f"{plan.seed}/{_question(examples[at])}/{examples[at].target}")
        copies[at] = _copies(examples[at], plan, given, rng)
    grown: list[Example] = []
    for at, example in enumerate(examples):
        family = [example, *copies.get(at, ())]
        share = 1 / len(family) if plan.augmentation_weight == "shared" else 1.0
        repeats = math.ceil(example.repeats / len(family))  # other wordings instead of the same
        grown += [replace(each, weight=each.weight * share, repeats=repeats) for each in family]
    return grown, told.note


def _may_grow(example: Example) -> bool:
    new = example.kind == "demonstration" and example.source == "new" and not example.made
    return new and bool(example.messages) and example.messages[-1]["role"] == "user"


def _copies(
    example: Example, plan: Plan, given: Sequence[str], rng: random.Random
) -> list[Example]:
    asked = _question(example)
    others = paraphrases(asked, count=plan.augment_prompts, rng=rng)
    known = {normalised(text) for text in given}
    filled = [*given, *(text for text in others if normalised(text) not in known)]
    texts = filled[: plan.augment_prompts]
    made = [_asked_otherwise(example, text, "paraphrase") for text in texts]
    stays = content_words(asked) & content_words(example.target) | set(words(example.target))
    for text in (asked, *texts):
        if rng.random() < plan.typing_noise:
            mistyped = with_errors(text, protected=stays, rng=rng)
            if mistyped != text:
                made.append(_asked_otherwise(example, mistyped, "typing noise"))
    return made


def _asked_otherwise(example: Example, question: str, made: Made) -> Example:
    last = Message(role="user", content=question)
    return replace(example, messages=(*example.messages[:-1], last), made=made)


def _question(example: Example) -> str:
    return example.messages[-1]["content"]
