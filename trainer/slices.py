"""Cuts what was asked into slices (topic, language, tags) and finds those that fare worse. No torch.

A model may gain on average and lose for whoever writes another language or asks about one thing.
Knows no model and no gate: whether each item went well is given.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feedback import languages
from trainer.intervals import ALPHA

SUITE_TAG = "tag suite="
"""How the slice of a suite begins."""
FEWEST = 20
"""A slice of fewer items is not compared: its share would be luck."""
_FEWEST_TOPIC_ITEMS = 8
_MOST_TOPICS = 8
_TOPIC_WORDS = 3
_MOST_VALUES = 20
_RESAMPLES = 1000


@dataclass(frozen=True)
class Asked:
    """One item as far as slicing goes.

    Attributes:
        prompt: the last thing that was asked.
        cluster: items of one cluster are not independent.
        tags: what the client said of the exchange (`metadata`), and its group under ``group``.
    """

    prompt: str
    cluster: str
    tags: Mapping[str, Any]


@dataclass(frozen=True)
class Slice:
    """How one slice fares beside all others.

    Attributes:
        name: ``language de``, ``topic lamp, price``, ``tag shop=north``.
        items: how many.
        value: mean of the measure within it.
        elsewhere: mean of the measure over all other items.
        lower: lower bound of the difference, within less elsewhere.
        upper: its upper bound. Both together hold 95% for all slices at once.
        worse: whether the slice fares worse than the rest, beyond chance.
    """

    name: str
    items: int
    value: float
    elsewhere: float
    lower: float
    upper: float
    worse: bool


def names(asked: Sequence[Asked], *, seed: int = 0) -> list[tuple[str, ...]]:
    """Return for each item the names of the slices that it lies in: language, topic, tags.

    Args:
        asked: the items.
        seed: of the topics.
    """
    if not asked:
        return []
    found = zip(_languages(asked), _topics(asked, seed), *_tags(asked), strict=True)
    return [tuple(name for name in each if name is not None) for each in found]


def slices(
    asked: Sequence[Asked],
    values: Sequence[float],
    *,
    seed: int = 0,
    named: Sequence[Sequence[str]] | None = None,
) -> tuple[Slice, ...]:
    """Compare every slice of at least `FEWEST` items with all other items, the worst first.

    Whole clusters are resampled (the bootstrap of `trainer.intervals`, here for two groups), and
    the bounds are widened for the number of slices (Bonferroni), so that looking at many finds no
    more than looking at one.

    Args:
        asked: the items.
        values: the measure of each, 0 to 1 as a rule: exact match, token F1.
        seed: of the resampling and of the topics.
        named: what `names` gave for them, where it was asked already.

    Raises:
        ValueError: there are not as many values as items.
    """
    if len(asked) != len(values):
        raise ValueError("slices needs one value for every item.")
    members: dict[str, set[int]] = {}
    for at, each in enumerate(names(asked, seed=seed) if named is None else named):
        for name in each:
            members.setdefault(name, set()).add(at)
    compared = {
        name: inside
        for name, inside in members.items()
        if FEWEST <= len(inside) <= len(asked) - FEWEST
    }
    level = ALPHA / 2 / max(len(compared), 1)
    if not compared:
        return ()
    numbers = {cluster: at for at, cluster in enumerate(dict.fromkeys(a.cluster for a in asked))}
    where = np.asarray([numbers[item.cluster] for item in asked])
    draws = np.random.default_rng(seed).multinomial(
        len(numbers), np.full(len(numbers), 1 / len(numbers)), size=_RESAMPLES
    )
    found = [
        _compared(name, inside, np.asarray(values, dtype=float), where, draws, level=level)
        for name, inside in compared.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.value - each.elsewhere, each.name)))


def preload() -> None:
    """Load what slicing needs, which takes two seconds: for a process that forks others."""
    import sklearn.cluster
    import sklearn.feature_extraction.text  # noqa: F401

    languages.preload()


def _compared(
    name: str,
    inside: set[int],
    values: npt.NDArray[np.float64],
    where: npt.NDArray[np.int64],
    draws: npt.NDArray[np.int64],
    *,
    level: float,
) -> Slice:
    """The slice beside the rest, with bounds from resampled clusters."""
    member = np.zeros(len(values), dtype=bool)
    member[list(inside)] = True
    # Per cluster: sum and count within the slice, sum and count elsewhere.
    columns = (values * member, member * 1.0, values * ~member, ~member * 1.0)
    table = np.stack(
        [np.bincount(where, weights=each, minlength=draws.shape[1]) for each in columns], axis=1
    )
    total = table.sum(axis=0)
    within, elsewhere = total[0] / total[1], total[2] / total[3]
    sums = draws @ table
    kept = sums[(sums[:, 1] > 0) & (sums[:, 3] > 0)]
    differences = kept[:, 0] / kept[:, 1] - kept[:, 2] / kept[:, 3]
    # Resampled values that never vary have no width; one item more could have gone otherwise.
    least = 1 / float(total[1]) if within in (0.0, 1.0) else 0.0
    spread = max(float(np.std(differences, ddof=1)), least)
    reach = _quantile(1 - level) * spread
    difference = float(within - elsewhere)
    upper = float(difference + reach)
    return Slice(
        name=name,
        items=len(inside),
        value=float(within),
        elsewhere=float(elsewhere),
        lower=float(difference - reach),
        upper=upper,
        worse=upper < 0,
    )


def _languages(asked: Sequence[Asked]) -> list[str | None]:
    return [f"language {languages.language(item.prompt)}" for item in asked]


def _topics(asked: Sequence[Asked], seed: int) -> list[str | None]:
    """Prompts grouped by their words (TF-IDF, k-means), each group named by its foremost words."""
    count = min(_MOST_TOPICS, int(math.sqrt(len(asked) / 2)))
    if count < 2 or len(asked) < 2 * _FEWEST_TOPIC_ITEMS:
        return [None] * len(asked)
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    vectorizer = TfidfVectorizer(
        stop_words="english", sublinear_tf=True, max_features=2000, token_pattern=r"(?u)\b\w\w+\b"
    )
    try:
        matrix = vectorizer.fit_transform([item.prompt for item in asked])
    except ValueError:  # nothing but the commonest words
        return [None] * len(asked)
    words = vectorizer.build_analyzer()
    count = min(count, len({tuple(sorted(words(item.prompt))) for item in asked}))
    with threadpool_limits(1):  # a server may be at work beside; threads would wait for each other
        model = KMeans(n_clusters=count, n_init=3, random_state=seed).fit(matrix)
    terms = vectorizer.get_feature_names_out()
    names = []
    for centre in model.cluster_centers_:
        foremost = [terms[at] for at in np.argsort(-centre)[:_TOPIC_WORDS] if centre[at] > 0]
        names.append(f"topic {', '.join(foremost)}" if foremost else "topic of no words")
    return [names[label] for label in model.labels_]


def _tags(asked: Sequence[Asked]) -> list[list[str | None]]:
    """One list of names per tag, for tags with a few values; an id tells everybody apart."""
    values: dict[str, Counter[str]] = {}
    for item in asked:
        for key, value in item.tags.items():
            if isinstance(value, str | int | bool):
                values.setdefault(key, Counter())[str(value)] += 1
    useful = [key for key, counts in sorted(values.items()) if len(counts) <= _MOST_VALUES]
    return [
        [f"tag {key}={item.tags[key]}" if key in item.tags else None for item in asked]
        for key in useful
    ]


def _quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(level))
