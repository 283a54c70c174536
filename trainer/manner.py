"""How people like an answer to be put, as far as their thumbs tell. No torch of its own.

Thumbs are about the matter and about the manner, and do not say which. A classifier that knows how
long an answer is, and which of the words it has that its question has not, tells liked from disliked answers where
the manner is what people mind, and fails where it is the facts, which are others every time. It counts only
where votes that it has not seen say that it tells them apart: so a reward is never learned
from a few accidents (Gao et al., 2023, "Scaling laws for reward model overoptimization").
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from feedback.words import words

FEWEST_VOTES = 5
"""On either side."""
FEWEST_PEOPLE = 3
"""On either side: what one or two like is not how it is to be put for everybody."""
FEWEST_USES = 3
"""A word that fewer answers have tells nothing of the manner."""
CHANCE = 0.01
"""Votes that nothing tells apart would be told apart as well as this with this probability."""
_FOLDS = 5
_LENGTH = ""


@dataclass(frozen=True)
class Vote:
    """A thumb on an answer: what was asked, what was answered, by whom it was judged and how."""

    question: str
    answer: str
    person: str
    liked: bool


Manner = Callable[[str, Sequence[str]], list[float]]
"""The log-odds of each answer to a question that people like how it is put."""


def learned(votes: Sequence[Vote]) -> Manner | None:
    """Return how people like answers to be put, None where their votes do not tell.

    Args:
        votes: on answers that were given under the same instructions.
    """
    sides = [[vote for vote in votes if vote.liked is liked] for liked in (True, False)]
    if any(len(side) < FEWEST_VOTES for side in sides):
        return None
    if any(len({vote.person for vote in side}) < FEWEST_PEOPLE for side in sides):
        return None
    found = [_features(vote.question, vote.answer) for vote in votes]
    uses = Counter(word for each in found for word in each)
    known = {word for word, count in uses.items() if count >= FEWEST_USES}
    rows = [{word: each[word] for word in each if word in known} for each in found]
    liked = [vote.liked for vote in votes]
    if not _tells(rows, liked):
        return None
    classifier = _classifier().fit(rows, liked)

    def odds(question: str, answers: Sequence[str]) -> list[float]:
        # Of words that it was not fitted on it takes no notice.
        said = [_features(question, answer) for answer in answers]
        return [float(each) for each in classifier.decision_function(said)]

    return odds


def _features(question: str, answer: str) -> dict[str, float]:
    said = words(answer)
    beyond = set(said) - set(words(question))
    return {_LENGTH: math.log1p(len(said)), **dict.fromkeys(sorted(beyond), 1.0)}


def _classifier() -> Any:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        DictVectorizer(sparse=False),
        StandardScaler(),
        LogisticRegression(C=1.0, class_weight="balanced"),
    )


def _tells(rows: Sequence[dict[str, float]], liked: Sequence[bool]) -> bool:
    """Whether votes that a classifier has not seen are told apart (Mann and Whitney, 1947)."""
    from scipy.stats import mannwhitneyu
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    odds = cross_val_predict(_classifier(), rows, liked, cv=folds, method="decision_function")
    marked = list(zip(liked, odds, strict=True))
    ups = [float(each) for vote, each in marked if vote]
    downs = [float(each) for vote, each in marked if not vote]
    return bool(mannwhitneyu(ups, downs, alternative="greater").pvalue <= CHANCE)
