"""What answers and likelihoods amount to: the measures that a report shows. Pure.

Knows no model, no suite and no verdict: the gate judges by bounds (`trainer.gate`), these are for
people to read. Every measure says how many items it rests on.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from feedback.words import words


@dataclass(frozen=True)
class Labelled:
    """How well labels were given: a classification report.

    Attributes:
        accuracy: share of items with the right label, 0 to 1.
        precision: of each label given, the share that was right; mean over labels (macro).
        recall: of each label due, the share that was given; mean over labels (macro).
        f1: harmonic mean of the two per label; mean over labels (macro).
        per_label: the same three for each label that was due or given, with how often it was due.
        items: how many.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    per_label: dict[str, dict[str, float]]
    items: int


@dataclass(frozen=True)
class Text:
    """How near answers come to the texts that they should be.

    Attributes:
        exact: share of answers that are the same but for case, spacing and end punctuation.
        precision: of the words given, the share that was due; mean over items.
        recall: of the words due, the share that was given; mean over items.
        f1: token F1 of each item; mean over items.
        length: mean words of an answer.
        expected_length: mean words of the expected text.
        items: how many.
    """

    exact: float
    precision: float
    recall: float
    f1: float
    length: float
    expected_length: float
    items: int


def labelled(expected: Sequence[str], given: Sequence[str]) -> Labelled:
    """Accuracy, and precision, recall and F1 macro-averaged, of labels.

    A label that is never given has precision 0, one that is never due recall 0, as in
    scikit-learn, which computes them.

    Raises:
        ValueError: there are no items, or not as many of one as of the other.
    """
    _paired(expected, given)
    from sklearn.metrics import precision_recall_fscore_support

    labels = sorted({*expected, *given})
    precision, recall, f1, due = precision_recall_fscore_support(
        expected, given, labels=labels, average=None, zero_division=0.0
    )
    return Labelled(
        accuracy=_mean([float(a == b) for a, b in zip(expected, given, strict=True)]),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        per_label={
            label: {
                "precision": float(precision[at]),
                "recall": float(recall[at]),
                "f1": float(f1[at]),
                "items": float(due[at]),
            }
            for at, label in enumerate(labels)
        },
        items=len(expected),
    )


def text(expected: Sequence[str], given: Sequence[str], exact: Sequence[bool]) -> Text:
    """Token precision, recall and F1 of answers, and the share that is exactly right.

    Token F1 as for SQuAD (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, section 6.1),
    except that articles count: an answer is said as it stands.

    Args:
        expected: what should have been said.
        given: what was.
        exact: whether each passed its check; who checks knows how strict to be.

    Raises:
        ValueError: there are no items, or not as many of one as of the others.
    """
    _paired(expected, given)
    _paired(expected, exact)
    overlaps = [overlap(a, b) for a, b in zip(expected, given, strict=True)]
    return Text(
        exact=_mean([float(each) for each in exact]),
        precision=_mean([each[0] for each in overlaps]),
        recall=_mean([each[1] for each in overlaps]),
        f1=_mean([token_f1(a, b) for a, b in zip(expected, given, strict=True)]),
        length=_mean([float(len(words(each))) for each in given]),
        expected_length=_mean([float(len(words(each))) for each in expected]),
        items=len(expected),
    )


def token_f1(expected: str, given: str) -> float:
    """Harmonic mean of word precision and recall, words counted as often as they stand there."""
    precision, recall = overlap(expected, given)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def overlap(expected: str, given: str) -> tuple[float, float]:
    """Word precision and recall of an answer; two texts without words agree wholly."""
    due, said = Counter(words(expected)), Counter(words(given))
    if not due or not said:
        return (1.0, 1.0) if due == said else (0.0, 0.0)
    shared = (due & said).total()
    return shared / said.total(), shared / due.total()


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a text.

    Attributes:
        nats: log-likelihood of all its tokens together, in nats (0 or less).
        tokens: how many, the end token included.
    """

    nats: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean log-likelihood of its tokens, in nats."""
        return self.nats / self.tokens


def nll(found: Sequence[Likelihood]) -> float:
    """Mean negative log-likelihood per token, in nats, over all tokens of all texts.

    Raises:
        ValueError: there is no token.
    """
    tokens = sum(each.tokens for each in found)
    if not tokens:
        raise ValueError("Perplexity needs at least one token.")
    return -sum(each.nats for each in found) / tokens


def perplexity(found: Sequence[Likelihood]) -> float:
    """e to the mean negative log-likelihood per token; infinite where that is beyond a float.

    Raises:
        ValueError: there is no token.
    """
    mean = nll(found)
    return math.exp(mean) if mean < 700 else math.inf


def bits_per_byte(found: Sequence[Likelihood], texts: Sequence[str]) -> float:
    """Bits that each byte (UTF-8) of the texts costs: comparable between tokenizers.

    As in "The Pile" (Gao et al. 2020, https://arxiv.org/abs/2101.00027, section 3.1).

    Raises:
        ValueError: there is nothing to measure, or not a likelihood per text.
    """
    _paired(found, texts)
    size = sum(len(each.encode()) for each in texts)
    if not size:
        raise ValueError("Bits per byte needs at least one byte.")
    return -sum(each.nats for each in found) / math.log(2) / size


def preference_accuracy(chosen: Sequence[float], rejected: Sequence[float]) -> float:
    """Share of pairs in which the preferred answer scores higher; a tie counts half.

    Args:
        chosen: a score of each preferred answer; for DPO its implicit reward, the log-likelihood
            less the reference's (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290).
        rejected: the same of the other one.

    Raises:
        ValueError: there is no pair, or one is incomplete.
    """
    _paired(chosen, rejected)
    return _mean([float(a > b) + 0.5 * (a == b) for a, b in zip(chosen, rejected, strict=True)])


def verdict_margin(rewards: Sequence[float], liked: Sequence[bool]) -> float | None:
    """Mean reward of liked answers less that of disliked ones, in nats; None without both.

    The margin that KTO widens (Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306); a reward
    is the log-likelihood less the reference's.

    Raises:
        ValueError: there are not as many verdicts as rewards.
    """
    if len(rewards) != len(liked):
        raise ValueError("verdict_margin needs one verdict for every reward.")
    good = [reward for reward, yes in zip(rewards, liked, strict=True) if yes]
    bad = [reward for reward, yes in zip(rewards, liked, strict=True) if not yes]
    return _mean(good) - _mean(bad) if good and bad else None


def _paired(one: Sequence[Hashable], other: Sequence[Hashable]) -> None:
    if not one or len(one) != len(other):
        raise ValueError(f"A measure needs items, in pairs; got {len(one)} and {len(other)}.")


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
