"""How likely each preference and verdict of a round is the wrong way round. Pure.

Knows no loss: what is done about noise is `trainer.preference_losses`' affair.
"""

from collections.abc import Sequence
from dataclasses import replace

from feedback import harvest
from feedback.harvest import Word
from trainer.examples import Example


def estimated(examples: Sequence[Example], words: Sequence[Word]) -> list[Example]:
    """Return the examples with the noise that the round's own votes tell of each kind of feedback.

    A kind of which too little tells, and what no word of this round stands behind, has none.

    Args:
        examples: of a round.
        words: all its accepted feedback; agreement and reviews say how often each kind is wrong.
    """
    shares = {kind: found["wrong_share"] or 0.0 for kind, found in harvest.noise(words).items()}
    kinds = {word.feedback_id: word.kind for word in words}
    return [
        replace(example, noise=shares.get(kinds.get(example.feedback_ids[0], ""), 0.0))
        if example.kind != "demonstration" and example.source == "new" and example.feedback_ids
        else example
        for example in examples
    ]
