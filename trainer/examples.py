"""Feedback becomes examples: what the learner is given, with where it came from. Pure.

Knows no database and no torch.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from feedback.harvest import Word
from feedback.trust import REVIEWER, SIGNAL
from feedback.words import content_words, nearly_alike, supersedes

Kind = Literal["demonstration", "preference", "verdict"]
Source = Literal["new", "past", "general"]
Made = Literal["", "paraphrase", "typing noise", "pseudo-label", "neighbour", "contrast"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """One thing to learn.

    Attributes:
        kind: a demonstration (say `target`), a preference (`target` rather than `rejected`) or a
            verdict (people did or did not like `target`).
        messages: the conversation before the answer.
        target: the answer that is shown, preferred or judged.
        rejected: the other answer of a preference.
        liked: the verdict.
        weight: how much this one counts, 1 for a trusted word.
        source: new feedback, past feedback replayed, or general material.
        feedback_ids: the feedback it came from, for receipts and erasure.
        cluster: the person (or conversation) it came from; items of one cluster are not
            independent.
        signal: nobody said so; it is what their signals say.
        noise: the probability that the preference or verdict is the wrong way round.
        made: how an option made this one, where nobody wrote it: its question is a paraphrase or
            has typing errors, or its answer is the model's own, to a question that somebody asked or to
            one next to it, or one that people liked elsewhere.
        text: no answer but a piece of a document: there is no conversation, and every token of
            `target` is to be predicted.
        document: where that piece comes from, with the document's hash.
        repeats: how often a pass over the material shows it.
        in_turn: it is shown in one of so many passes, others in the others.
        news: the answer leaves out something that the live model said; else it says the same in
            other words, or more.
    """

    kind: Kind
    messages: tuple[Message, ...]
    target: str
    rejected: str | None = None
    liked: bool | None = None
    weight: float = 1.0
    source: Source = "new"
    feedback_ids: tuple[str, ...] = ()
    cluster: str = ""
    signal: bool = False
    noise: float = 0.0
    made: Made = ""
    text: bool = False
    document: str = ""
    repeats: int = 1
    in_turn: int = 1
    news: bool = True

    @property
    def role(self) -> str:
        """As what it teaches, for receipts and manifests."""
        if self.text:
            return "document"
        return self.made or ("signal" if self.signal else self.kind)


def turns(messages: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return a conversation as examples hold it: of each turn who speaks, and what was said."""
    return tuple(Message(role=each["role"], content=each["content"]) for each in messages)


def from_row(row: Mapping[str, Any]) -> Example:
    """Return the example that `dataclasses.asdict` and JSON made a row of.

    Raises:
        TypeError: a field is unknown, or one without a default is missing.
    """
    listed = {name: tuple(row[name]) for name in ("messages", "feedback_ids") if name in row}
    return Example(**{**row, **listed})


def build(words: Sequence[Word], *, held_out: Sequence[Word] = ()) -> list[Example]:
    """Turn what people said into examples.

    A correction becomes a demonstration and, beside the answer it corrects, a preference. A thumb
    becomes a verdict; one that a reviewer confirmed is a demonstration too. An answer that was
    liked, chosen or kept over another becomes a preference. Answers that are nearly alike make no
    preference: on them DPO pushes down both (Razin et al., 2024).

    A thumb down on an answer that was also corrected joins the correction's preference: the
    correction says what was wrong, while a verdict would blame every word of the answer.

    Args:
        words: accepted feedback of one round, in a fixed order.
        held_out: corrections that judge the round; thumbs down on the same answers make nothing.

    Returns:
        The examples, in the order of the words.
    """
    disliked: dict[str, list[str]] = {}
    for word in words:
        if _dislikes(word):
            disliked.setdefault(_about(word), []).extend((word.feedback_id, *word.also))
    corrected = {_about(word) for word in (*words, *held_out) if word.correction is not None}
    return [
        example
        for word in words
        if not (_dislikes(word) and _about(word) in corrected)
        for example in _examples(word, tuple(disliked.get(_about(word), ())))
    ]


def contradicted(word: Word, reviewed: Sequence[Word]) -> Word | None:
    """Return the reviewed correction that a word's praise contradicts, if there is one.

    Somebody may like an answer that a reviewer has since found to be wrong; learning both would
    teach neither.
    """
    if word.correction is not None or not (word.rating is not None and word.rating > 0.5):
        return None
    for other in reviewed:
        if other.correction and overrules(other.messages, other.correction, word.answer):
            return other
    return None


def overrules(messages: Sequence[Mapping[str, str]], correction: str, target: str) -> bool:
    """Whether a reviewed correction says something else than `target` about the same thing."""
    question = messages[-1]["content"]
    subject = content_words(question) & content_words(correction)
    return supersedes(correction, target, subject=subject)


def _dislikes(word: Word) -> bool:
    return word.correction is None and word.rating is not None and word.rating < 0.5


def _about(word: Word) -> str:
    """The answer that a word is about, and what it was given to."""
    return json.dumps([word.messages, word.answer], sort_keys=True)


def _is_news(word: Word, best: str) -> bool:
    """Whether more than the manner is to change: something that was said is no longer there."""
    said = content_words(word.answer)
    return not said or not said <= content_words(best)


def _examples(word: Word, disliked_by: tuple[str, ...]) -> list[Example]:
    shared: dict[str, Any] = {
        "messages": turns(word.messages),
        "feedback_ids": (word.feedback_id, *word.also),
        "cluster": word.person_id,
        "weight": word.weight,
    }
    made: list[Example] = []
    best = word.correction
    liked = word.rating is not None and word.rating > 0.5
    if best is None and liked and word.accepted_by == REVIEWER:
        best = word.answer
    if best is not None:
        made.append(Example(kind="demonstration", target=best, news=_is_news(word, best), **shared))
    if word.correction is not None and not nearly_alike(word.correction, word.answer):
        joined = {**shared, "feedback_ids": (*shared["feedback_ids"], *disliked_by)}
        made.append(
            Example(kind="preference", target=word.correction, rejected=word.answer, **joined)
        )
    made.extend(
        Example(kind="preference", target=word.correction or word.answer, rejected=text, **shared)
        for text in word.worse
    )
    if word.correction is None and word.rating is not None and word.rating != 0.5:
        made.append(
            Example(
                kind="verdict",
                target=word.answer,
                liked=word.rating > 0.5,
                signal=word.accepted_by == SIGNAL,
                **{**shared, "weight": abs(word.rating - 0.5) * 2 * word.weight},
            )
        )
    return made
