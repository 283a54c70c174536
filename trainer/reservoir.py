"""A bounded memory of past examples: a chance sample over all rounds, with nothing to store. Pure.

Vitter's reservoir (1985, "Random sampling with a reservoir", algorithm R) keeps every item of a
stream with the same chance. It has no answer to an item that is withdrawn, as a superseded fact is,
or all of a round that was rolled back: the sample shrinks, and filling it favours newcomers. So each
item draws one lot for good, from its id, and the smallest lots are kept (bottom-k sampling: Cohen and
Kaplan, 2007, "Summarizing data using bottom-k sketches"). While the stream only grows the chances
are those of algorithm R; when something leaves, the next lot moves up and they are still equal.
"""

from collections.abc import Sequence

from trainer.replay import Old, place


def kept(olds: Sequence[Old], *, size: int, seed: int) -> list[Old]:
    """Return what the memory holds, in the order given.

    Args:
        olds: everything of the past that still holds.
        size: most that is kept; 0 keeps everything.
        seed: of the lots; another seed is another sample.

    Returns:
        Each old one with the chance ``size / len(olds)``. What was kept stays until something that
        came later drew a smaller lot, or until it is no longer among `olds`.
    """
    if not size or len(olds) <= size:
        return list(olds)
    # Ties of the lots, which have 32 bits, are broken by the id.
    lots = sorted((place(f"{seed}:reservoir:{old.id}"), old.id) for old in olds)
    names = {name for _, name in lots[:size]}
    return [old for old in olds if old.id in names]
