"""More ways to ask for what was corrected: paraphrased and mistyped questions, the answer verbatim.

Knows no database. One correction is one question put once; without others the model learns those
words and not the fact. What a round repeats is therefore repeated in other words, as far as patterns
know some.
"""

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from feedback.words import content_words, normalised, words
from trainer.examples import Example, Made, Message
from trainer.paraphrases import paraphrases
from trainer.settings import Plan
from trainer.typing_noise import with_errors

OTHER_WORDINGS = 2
"""What is repeated is asked in up to so many other wordings, in turn with its own."""


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
    judging: Collection[str] = (),
) -> tuple[list[Example], str]:
    """Return the examples with copies of their new demonstrations and of what is repeated, and a note
    where some failed.

    A copy keeps everything but the last question: answer, feedback ids (so that erasure finds it)
    and cluster. Copies follow what they were made of, and take the place of its repeats.

    Args:
        examples: of a round, in order.
        plan: how many paraphrases, how much typing noise, what copies weigh, the seed.
        service: asked first for paraphrases of what is new; patterns fill up what it does not give.
        should_stop: asked while the service is.
        judging: normalised questions that judge the round, which no copy asks.
    """
    at_new = [at for at, each in enumerate(examples) if each.source == "new" and _may_grow(each)]
    told = Told(((),) * len(at_new))
    if service is not None and plan.augment_prompts and at_new:
        pairs = [(_question(examples[at]), examples[at].target) for at in at_new]
        told = service.paraphrases(pairs, count=plan.augment_prompts, should_stop=should_stop)
    given = dict(zip(at_new, told.paraphrases, strict=True))
    copies: dict[int, list[Example]] = {}
    for at, example in enumerate(examples):
        if not _grows(example, plan):
            continue
        # By what was asked and not by its place: who else spoke must change nothing here.
        rng = random.Random(f"{plan.seed}/{_question(example)}/{example.target}")
        copies[at] = [
            copy
            for copy in _copies(example, plan, given.get(at, ()), rng)
            if normalised(_question(copy)) not in judging
        ]
    grown: list[Example] = []
    for at, example in enumerate(examples):
        family = [example, *copies.get(at, ())]
        repeats = math.ceil(example.repeats / len(family))  # other wordings instead of the same
        shown = len(family) * repeats
        share = example.repeats / shown if plan.augmentation_weight == "shared" else 1.0
        grown += [replace(each, weight=each.weight * share, repeats=repeats) for each in family]
    return grown, told.note


def _may_grow(example: Example) -> bool:
    asked = example.kind == "demonstration" and not example.made and bool(example.messages)
    return asked and not example.text and example.messages[-1]["role"] == "user"


def _grows(example: Example, plan: Plan) -> bool:
    noisy = bool(plan.typing_noise) and example.source == "new"
    return _may_grow(example) and (noisy or _wordings(example, plan) > 0)


def _wordings(example: Example, plan: Plan) -> int:
    """How many other wordings of its question are wanted."""
    in_turn = min(OTHER_WORDINGS, example.repeats - 1) if plan.paraphrase_repeats else 0
    return max(in_turn, plan.augment_prompts if example.source == "new" else 0)


def _copies(
    example: Example, plan: Plan, given: Sequence[str], rng: random.Random
) -> list[Example]:
    asked = _question(example)
    count = _wordings(example, plan)
    found = paraphrases(asked, count=count, rng=rng)
    known = {normalised(text) for text in given}
    filled = [*given, *(text for text in found if normalised(text) not in known)]
    texts = filled[:count]
    made = [_asked_otherwise(example, text, "paraphrase") for text in texts]
    if example.source != "new":
        return made
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
