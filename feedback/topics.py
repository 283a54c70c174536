"""What texts are about: groups by their words, each labelled by the terms that set it apart.

Pure: knows no database and no reviewer. scikit-learn is loaded when it is needed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from feedback.languages import language

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TOPICS = 30
FEWEST_TEXTS = 8
"""Of fewer nothing is said: a topic of one text is the text."""
MOST_FITTED = 5_000
"""So many texts, evenly drawn, say which topics there are; the rest only joins them."""
TERMS = 3
SPOKEN = 0.05
"""A language that so many of the texts are in is one of theirs: its commonest words name no topic."""
_LOOKED_AT = 300
"""So many texts, evenly drawn, tell which languages those are."""
_MOST_WORDS = 5_000
_WORD = r"(?u)\b[^\W\d_]{2,}\b"


@dataclass(frozen=True)
class Topics:
    """What some texts are about.

    Attributes:
        labels: by number, the topic's foremost terms: ``price, lamp, dollars``.
        of: per text the number of its topic, or None where nothing tells.
    """

    labels: tuple[str, ...]
    of: tuple[int | None, ...]


def topics(texts: Sequence[str], *, seed: int = 0) -> Topics:
    """Group texts by their words (TF-IDF, k-means) and label the groups by c-TF-IDF.

    How many topics there are follows from how many texts there are. A term's weight in a topic is
    its share there times log(1 + A / f), with f its frequency over all topics and A the average
    number of terms in one (class-based TF-IDF, Grootendorst 2022, *BERTopic*, equation 2).

    Args:
        texts: in a fixed order.
        seed: of the grouping; the same texts make the same topics.
    """
    nothing = Topics((), (None,) * len(texts))
    if len(texts) < FEWEST_TEXTS:
        return nothing
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    vectorizer = TfidfVectorizer(
        stop_words=sorted(_common(texts)),
        sublinear_tf=True,
        max_features=_MOST_WORDS,
        min_df=2,
        max_df=0.5,
        token_pattern=_WORD,
    )
    step = max(1, -(-len(texts) // MOST_FITTED))
    try:
        fitted = vectorizer.fit_transform(texts[::step])
    except ValueError:  # nothing but the commonest words, and words that come once
        return nothing
    matrix = fitted if step == 1 else vectorizer.transform(texts)
    told = np.asarray(matrix.getnnz(axis=1) > 0)
    usable = fitted[np.asarray(fitted.getnnz(axis=1) > 0)]
    count = min(MOST_TOPICS, max(2, int((usable.shape[0] / 4) ** 0.5)), _different(usable))
    if count < 2:
        return nothing
    with threadpool_limits(1):  # a server may be at work beside; threads would wait for each other
        model = KMeans(n_clusters=count, n_init=2, random_state=seed).fit(usable)
        numbers = model.predict(matrix)
    labels = _labels(matrix, numbers, told, vectorizer.get_feature_names_out(), count)
    return Topics(
        tuple(labels),
        tuple(int(n) if known else None for n, known in zip(numbers, told, strict=True)),
    )


def _common(texts: Sequence[str]) -> frozenset[str]:
    """The commonest words of English and of every language that a good part of the texts is in."""
    some = texts[:: max(1, -(-len(texts) // _LOOKED_AT))]
    found = Counter(map(language, some))
    spoken = {code for code, count in found.items() if count >= SPOKEN * len(some)}
    return frozenset[str]().union(*map(_stop_words, spoken | {"en"}))


@lru_cache
def _stop_words(code: str) -> frozenset[str]:
    """A language's commonest words, as the vectorizer cuts them; none of one without a list."""
    import stopwordsiso
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    # Of English the other list has "order", "page" and "open" as well, which can be what it is about.
    listed: Iterable[str] = ENGLISH_STOP_WORDS if code == "en" else stopwordsiso.stopwords(code)
    return frozenset(part for word in listed for part in re.findall(_WORD, word.lower()))


def _different(matrix: Any) -> int:
    """How many rows hold different words; no more topics than those can be told apart."""
    return len(
        {
            matrix.indices[matrix.indptr[at] : matrix.indptr[at + 1]].tobytes()
            for at in range(matrix.shape[0])
        }
    )


def _labels(
    matrix: Any, numbers: "NDArray[Any]", told: "NDArray[Any]", terms: Any, count: int
) -> list[str]:
    import numpy as np

    present = matrix > 0
    frequency = np.vstack(
        [np.asarray(present[(numbers == at) & told].sum(axis=0)).ravel() for at in range(count)]
    ).astype(float)
    overall = frequency.sum(axis=0)
    average = frequency.sum() / count
    share = frequency / np.maximum(frequency.sum(axis=1, keepdims=True), 1)
    weight = share * np.log1p(average / np.maximum(overall, 1))
    labels: list[str] = []
    for row in weight:
        foremost = [str(terms[at]) for at in np.argsort(-row, kind="stable")[:TERMS] if row[at] > 0]
        labels.append(", ".join(foremost))
    return labels
