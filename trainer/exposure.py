"""How often a round shows what few people said. Pure.

A fact is learned by being seen often, whoever says it: forty corrections that agree are seen forty
times in a pass, four are seen four times, and then a pass that suffices for the first leaves the
second half learned. What is shown again comes with old material of its own, so that a step holds the
same mix (oversampling, as in class-balanced learning: Kang et al., 2020, "Decoupling representation
and classifier for long-tailed recognition").
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from feedback.words import normalised
from trainer.examples import Example

MOST_REPEATS = 8
"""One person's single wording, seen for ever, would be learned by heart and not understood."""


def repeated(new: Sequence[Example], *, exposures: int, epochs: float) -> list[Example]:
    """Return the new examples, those demonstrations of something new repeated whose answer few gave.

    What only says in other words what was answered anyway teaches a manner, which all of them
    teach together; repeated, each would teach its own subject too much.

    Args:
        new: a round's new examples, in order.
        exposures: every answer is to be shown at least so often, over all passes and all questions
            that it is the answer to; 0 repeats nothing.
        epochs: passes that the round makes.
    """
    shown = Counter(normalised(each.target) for each in new if _repeats(each))
    return [
        replace(each, repeats=_needed(exposures, shown[normalised(each.target)] * epochs))
        if _repeats(each)
        else each
        for each in new
    ]


def _repeats(example: Example) -> bool:
    return example.kind == "demonstration" and example.news and not example.text


def _needed(exposures: int, seen: float) -> int:
    return max(1, min(MOST_REPEATS, math.ceil(exposures / seen)))
