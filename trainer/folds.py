"""Cross-validation folds that keep every person's items together. Pure."""

from collections import Counter
from collections.abc import Sequence

from feedback.errors import Invalid
from trainer.replay import place

ENOUGH_ITEMS = 400
"""With so many items one split tells as much as several."""
SCARCE_FOLDS = 5


def count(items: int, people: int, wanted: int | None = None) -> int:
    """How many folds: as wanted, or one held-out quarter where there is enough, else five.

    Args:
        items: how many there are.
        people: clusters that must stay together.
        wanted: the caller's choice; 1 means one split.

    Raises:
        Invalid: there are fewer than two people, or more folds are wanted than there are.
    """
    if people < 2:
        raise Invalid(
            f"Cross-validation needs the words of at least two people; there are {people}. Collect "
            "more feedback first (`heed feedback stats`)."
        )
    if wanted is not None:
        if wanted > people:
            raise Invalid(
                f"{wanted} folds need the words of as many people; there are {people}.",
                param="folds",
            )
        return wanted
    return 1 if items >= ENOUGH_ITEMS and people >= SCARCE_FOLDS else min(SCARCE_FOLDS, people)


def split(clusters: Sequence[str], folds: int, *, seed: int) -> list[list[int]]:
    """Which items each fold holds out: whole clusters, about as many items in each.

    With k folds every item is held out once (k-fold cross-validation: Stone 1974,
    "Cross-validatory choice and assessment of statistical predictions"). With one fold, a quarter
    of the items is held out.

    Args:
        clusters: of each item.
        folds: how many, from `count`.
        seed: of who goes where; the same for the same seed, whatever the order of items.
    """
    sizes = Counter(clusters)
    order = sorted(sizes, key=lambda name: (-sizes[name], place(f"{seed}:{name}")))
    parts = max(folds, 4 if len(sizes) >= 4 else 2) if folds == 1 else folds
    fill = [0] * parts
    home: dict[str, int] = {}
    for name in order:
        home[name] = min(range(parts), key=lambda part: (fill[part], part))
        fill[home[name]] += sizes[name]
    return [[at for at, name in enumerate(clusters) if home[name] == fold] for fold in range(folds)]
