"""Which feedback the base model cannot be shown, found out before anything of it is sorted. Pure.

An example that does not fit the context, or that the chat template refuses, teaches nothing and judges
nothing. Its receipt says so, lest somebody be told that it was learned.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from trainer import examples
from trainer.examples import Example
from trainer.material import Gathered

Misfits = Callable[[Sequence[Example]], list[str]]
"""Says why each example cannot be learned; nothing where it can."""


def fitted(gathered: Gathered, misfits: Misfits) -> Gathered:
    """Return the material, with why each piece of feedback is unfit of which no example can be learned.

    It stays among the words: a correction that cannot be learned still makes the old answer wrong.

    Args:
        gathered: as it may be learned.
        misfits: asks the base model's tokenizer.
    """
    made = [(word, each) for word in gathered.words for each in examples.build([word])]
    faults: dict[str, list[str]] = defaultdict(list)
    for (word, _), fault in zip(made, misfits([each for _, each in made]), strict=True):
        faults[word.feedback_id].append(fault)
    unfit: dict[str, str] = {}
    for word in gathered.words:
        found = faults[word.feedback_id]
        if found and all(found):
            unfit |= dict.fromkeys((word.feedback_id, *word.also), found[0])
    return replace(gathered, unfit=unfit)
