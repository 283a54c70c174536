"""What a round's report tells beside the verdict: both models' measures, suite by suite, and slices.

Nothing here decides anything (`trainer.gate` does). No torch of its own; knows no database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from feedback.harvest import Word
from trainer import metrics, slices
from trainer.evidence import Paired
from trainer.examples import Message, turns
from trainer.metrics import Likelihood
from trainer.slices import Asked
from trainer.speaking import Fits

_MOST_LABELS = 50
# Where nobody says what they are: answers that much fewer than questions are labels and not texts.
_ITEMS_PER_LABEL = 5
OTHER = "(another answer)"
MOST_VERDICTS = 400
"""So many answers are read for the margin; its mean moves little beyond them."""


class Likelihoods(Fits, Protocol):
    """What measuring needs of a model; `trainer.policy.Policy` has it."""

    def likelihoods(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, adapter: str | None
    ) -> list[Likelihood]:
        """How likely each answer is."""


def suites(pairs: Sequence[Paired]) -> dict[str, dict[str, Any]]:
    """Measures of both models on every suite, from the answers that the gate has judged.

    Returns:
        suite → ``items`` and, for ``incumbent`` and ``candidate``, ``accuracy``; the fields of
        `metrics.Text` under ``text``, where the suite says what the answers are word for word; and
        those of `metrics.Labelled` under ``labels``, where such answers are labels: the suite says so
        (check ``label``), or it has at least five questions for each answer. Of 2 to 50 labels.
    """
    by_suite: dict[str, list[Paired]] = {}
    for each in pairs:
        by_suite.setdefault(each.suite, []).append(each)
    return {
        suite: {
            "items": len(members),
            "incumbent": _one(members, [m.incumbent_answer for m in members], "incumbent_right"),
            "candidate": _one(members, [m.candidate_answer for m in members], "candidate_right"),
        }
        for suite, members in by_suite.items()
    }


def held_out(
    model: Likelihoods, words: Sequence[Word], *, incumbent: str | None, candidate: str
) -> dict[str, dict[str, float]]:
    """How likely both models find corrections that neither has learned from.

    Args:
        model: holds both adapters.
        words: corrections held out from training.
        incumbent: its name in the model, or None for the base.
        candidate: the other's.

    Returns:
        For ``incumbent`` and ``candidate`` ``nll`` (nats per token of the corrections),
        ``perplexity``, ``bits_per_byte`` and ``preference_accuracy`` (how often the correction is
        likelier than the answer it corrects); of the candidate also ``reward_margin``: by how many
        nats it came to prefer the corrections, with the incumbent as the reference. Empty where
        there is nothing to look at.
    """
    rows = [
        (turns(word.messages), text)
        for word in words
        if word.correction is not None
        for text in (word.correction, word.answer)
    ]
    fit = model.fits(rows)
    kept = [at for at in range(0, len(rows), 2) if fit[at] and fit[at + 1]]
    if not kept:
        return {}
    pairs = [rows[at + side] for at in kept for side in (0, 1)]
    found = {
        "incumbent": model.likelihoods(pairs, adapter=incumbent),
        "candidate": model.likelihoods(pairs, adapter=candidate),
    }
    texts = [text for _, text in pairs[::2]]
    told: dict[str, dict[str, float]] = {}
    for name, each in found.items():
        chosen, rejected = each[::2], each[1::2]
        told[name] = {
            "nll": metrics.nll(chosen),
            "perplexity": metrics.perplexity(chosen),
            "bits_per_byte": metrics.bits_per_byte(chosen, texts),
            "preference_accuracy": metrics.preference_accuracy(
                [one.nats for one in chosen], [one.nats for one in rejected]
            ),
            "items": float(len(chosen)),
        }
    rewards = [
        new.nats - old.nats for new, old in zip(found["candidate"], found["incumbent"], strict=True)
    ]
    told["candidate"]["reward_margin"] = sum(rewards[::2]) / len(kept) - sum(rewards[1::2]) / len(
        kept
    )
    return told


def verdicts(
    model: Likelihoods, words: Sequence[Word], *, incumbent: str | None, candidate: str
) -> dict[str, float | None]:
    """By how much more the candidate came to like what people like than what they do not.

    Args:
        model: holds both adapters.
        words: thumbs and preferences held out from training.
        incumbent: its name in the model, or None for the base: the reference.
        candidate: the other's.

    Returns:
        ``margin`` (`metrics.verdict_margin`, in nats per answer; None without answers of both
        kinds), and of how many answers, ``liked`` and ``disliked``. Empty where nothing is held out.
    """
    sides = [side for word in words for side in _sides(word)]
    fit = model.fits([row for row, _ in sides])
    kept = [side for side, fits in zip(sides, fit, strict=True) if fits][:MOST_VERDICTS]
    if not kept:
        return {}
    rows = [row for row, _ in kept]
    liked = [likes for _, likes in kept]
    old = model.likelihoods(rows, adapter=incumbent)
    new = model.likelihoods(rows, adapter=candidate)
    rewards = [after.nats - before.nats for after, before in zip(new, old, strict=True)]
    return {
        "margin": metrics.verdict_margin(rewards, liked),
        "liked": sum(liked),
        "disliked": len(liked) - sum(liked),
    }


def _sides(word: Word) -> list[tuple[tuple[tuple[Message, ...], str], bool]]:
    """Each answer that a word is about, and whether it was liked."""
    asked = turns(word.messages)
    sides = [((asked, text), False) for text in word.worse]
    if word.rating is not None and word.rating != 0.5:
        sides.append(((asked, word.answer), word.rating > 0.5))
    elif sides:
        sides.append(((asked, word.answer), True))
    return sides


def slice_names(
    pairs: Sequence[Paired], tags: Mapping[str, Mapping[str, Any]], *, seed: int
) -> list[tuple[str, ...]]:
    """The slices that each item lies in, its suite among them.

    Args:
        pairs: what both models answered.
        tags: of items that came from an exchange, what its client said of it, by item id.
        seed: of the topics.
    """
    return slices.names(_asked(pairs, tags), seed=seed)


def by_slice(
    pairs: Sequence[Paired],
    tags: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    named: Sequence[Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """How the candidate's share of right answers differs between slices, the worst first.

    Of each also the incumbent's share, under ``before``.

    Args:
        pairs: what the gate has judged.
        tags: of items that came from an exchange, what its client said of it, by item id.
        seed: of resampling and topics.
        named: what `slice_names` gave, where it was asked already.
    """
    if named is None:
        named = slice_names(pairs, tags, seed=seed)
    values = [float(each.candidate_right) for each in pairs]
    before: dict[str, list[bool]] = {}
    for pair, names in zip(pairs, named, strict=True):
        for name in names:
            before.setdefault(name, []).append(pair.incumbent_right)
    found = slices.slices(_asked(pairs, tags), values, seed=seed, named=named)
    return [{**asdict(each), "before": sum(before[each.name]) / each.items} for each in found]


def _asked(pairs: Sequence[Paired], tags: Mapping[str, Mapping[str, Any]]) -> list[Asked]:
    return [
        Asked(each.prompt, each.cluster, {"suite": each.suite, **tags.get(each.item_id, {})})
        for each in pairs
    ]


def _one(members: Sequence[Paired], answers: list[str], right: str) -> dict[str, Any]:
    passed = [bool(getattr(each, right)) for each in members]
    told: dict[str, Any] = {"accuracy": sum(passed) / len(passed)}
    if not all(each.verbatim for each in members):
        return told
    expected = [each.expected for each in members]
    told["text"] = asdict(metrics.text(expected, answers, passed))
    labels = set(expected)
    told_so = all(each.labelled for each in members)
    few = told_so or len(labels) <= len(expected) // _ITEMS_PER_LABEL
    if few and 1 < len(labels) <= _MOST_LABELS:
        # An answer that passed its check is its label, however it was put.
        given = [
            due if well else answer if answer in labels else OTHER
            for due, well, answer in zip(expected, passed, answers, strict=True)
        ]
        told["labels"] = asdict(metrics.labelled(expected, given))
    return told
