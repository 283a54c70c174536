"""Questions next to those that a round teaches, to be answered as before. Pure and seeded.

Who is told the price of one lamp should not think that every lamp has it. Model editing calls that
locality: what is near an edit and not meant by it stays as it was (neighbourhood prompts: Meng et al.,
2022, "Locating and editing factual associations in GPT", https://arxiv.org/abs/2202.05262). A
neighbour is a new question with another subject in the same words: one that the model knows from
elsewhere, or one made up for it, which shows whether it still knows what it does not know. A made-up
name is of new words, or of known ones that never stood together, which is the easiest to mistake. What
earlier rounds taught and a round rehearses has neighbours of the second kind, too: else the more a
model is taught, the rarer it hears a question that it cannot answer. The answers are the live
model's, and whoever asks it is somebody else.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from feedback.harvest import Word
from feedback.words import content_words, normalised
from trainer import replay
from trainer.examples import Example, Message
from trainer.replay import Old
from trainer.speaking import Answers, Fits, Lengths

INVENTED_SHARE = 0.5
"""Half of the neighbours are about things that nobody ever named."""
MIXED_SHARE = 0.5
"""Half of the made-up names of several words are made of words that are parts of other names."""
_ASKED_SHARE = 0.5
"""A word names a thing where at least half of the answers that hold it were asked about it."""
_TRIES = 4
"""So many times as many are tried as are wanted: some have no subject, some come out alike."""


class Asked(Answers, Fits, Lengths, Protocol):
    """What is needed of the models; `trainer.policy.Policy` has it."""


@dataclass(frozen=True)
class Neighbours:
    """Questions without answers yet.

    Attributes:
        asked: demonstrations with empty targets, each with the feedback ids of what it was made
            from, so that erasure finds it.
        made_up: the names that nobody ever said: single new words, or known ones together.
        things: the words that name what the round teaches and what the model knows.
    """

    asked: tuple[Example, ...] = ()
    made_up: frozenset[frozenset[str]] = frozenset()
    things: frozenset[str] = frozenset()


def neighbours(
    new: Sequence[Example],
    olds: Sequence[Old],
    *,
    count: int,
    seed: int,
    of_past: int = 0,
    judging: Collection[str] = (),
) -> Neighbours:
    """Return demonstrations whose last question asks about something else, without answers yet.

    Args:
        new: the round's examples; those that say something new have neighbours.
        olds: what the model knows: known subjects come from there.
        count: at most so many of what is new, each question once.
        of_past: at most so many more, of past answers that are replayed, about made-up words.
        seed: makes the draw reproducible.
        judging: normalised questions that judge the round, which are left out.

    Returns:
        Fewer than asked for where few questions name what their answer is about.
    """
    draw = random.Random(f"neighbours {seed}")
    names = _names(
        [
            *((each.messages, each.target) for each in new if each.messages),
            *((old.messages, old.target) for old in olds),
        ]
    )
    about = [
        (each, subject)
        for each in new
        if each.kind == "demonstration" and each.source != "general" and not each.text
        if (subject := _subject(each.messages, each.target, names))
    ]
    told = [(each, subject) for each, subject in about if each.source == "new"]
    past = [(each, subject) for each, subject in about if each.source == "past"]
    taught = [(each, subject) for each, subject in told if each.news]
    if not taught:
        return Neighbours()
    named = {word for _, subject in told for word in subject}
    known = sorted(
        {
            subject
            for old in olds
            if (subject := _subject(old.messages, old.target, names)) and not named & set(subject)
        }
    )
    things = named.union(*known, *(subject for _, subject in past))
    letters = _Letters(things)
    parts = _Parts([*known, *(subject for _, subject in about)])
    made_up: set[frozenset[str]] = set()
    taken = {normalised(each.messages[-1]["content"]) for each, _ in told} | set(judging)
    found: list[Example] = []

    def invent(like: Sequence[str]) -> Sequence[str]:
        """A name in the place of another, noted as made up."""
        mixed = parts.mixed(like, draw) if draw.random() < MIXED_SHARE else ()
        if mixed:
            made_up.add(frozenset(mixed))
            return mixed
        new = [letters.word(word, draw) for word in like]
        made_up.update(frozenset({word}) for word in new)
        return new

    def make(
        wanted: int, of: Sequence[tuple[Example, tuple[str, ...]]], *, invented: float
    ) -> None:
        """Add so many, that share of them about made-up words."""
        until = len(found) + wanted
        for _ in range(_TRIES * wanted if of else 0):
            if len(found) == until:
                break
            example, subject = draw.choice(of)
            unknown = not known or draw.random() < invented
            others = invent(subject) if unknown else draw.choice(known)
            messages = _about(example.messages, subject, others)
            question = normalised(messages[-1]["content"])
            if question not in taken:
                taken.add(question)
                found.append(_copy(example, messages))

    make(count, taught, invented=INVENTED_SHARE)
    make(of_past, past, invented=1.0)
    return Neighbours(tuple(found), frozenset(made_up), frozenset(things))


def is_news(example: Example) -> bool:
    """Whether it teaches something about something, and not only a manner."""
    new = example.kind == "demonstration" and example.source == "new"
    return new and example.news and not example.text


def answered(
    neighbours: Neighbours,
    *,
    policy: Asked,
    present: str | None,
    reviewed: Sequence[Word],
    max_new_tokens: int,
    may_be_said: Callable[[str], bool] = lambda _: True,
) -> list[Example]:
    """Return the neighbours with what the live model says to them.

    Left out is what does not fit, is cut off, is contradicted by a reviewed correction, or may not
    be said; and what claims something of a made-up thing, or of another than was asked about, lest
    a model that has begun to make things up learns it from itself. Of a made-up thing it is then told
    what the base model says: nobody can have taught it anything else.

    Args:
        neighbours: the questions.
        policy: the models.
        present: name in `policy` of the adapter that the round continues, None for the base.
        reviewed: the round's corrections.
        max_new_tokens: answers that would be longer are left out.
        may_be_said: whether an answer holds nothing that no model is taught to say.
    """
    asked: Sequence[Example] = neighbours.asked
    room = policy.fits([(each.messages, "") for each in asked], max_new_tokens=max_new_tokens)
    asked = [each for each, fits in zip(asked, room, strict=True) if fits]

    def sound(asked: Sequence[Example], adapter: str | None) -> list[Example | None]:
        """What is asked, with answers; None where one may not be rehearsed."""
        if not asked:
            return []
        said = policy.answers(
            [each.messages for each in asked], adapter=adapter, max_new_tokens=max_new_tokens
        )
        lengths = policy.lengths(
            [(each.messages, text) for each, text in zip(asked, said, strict=True)]
        )
        return [
            replace(each, target=text)
            if text
            and length <= max_new_tokens
            and may_be_said(text)
            and not _makes_things_up(each.messages[-1]["content"], text, neighbours)
            else None
            for each, text, length in zip(asked, said, lengths, strict=True)
        ]

    said = sound(asked, present)
    left = zip(asked, said, strict=True) if present is not None else ()
    lost = [each for each, answer in left if answer is None and _is_made_up(each, neighbours)]
    found = [each for each in (*said, *sound(lost, None)) if each is not None]
    olds = [
        Old(str(at), each.messages, each.target, each.cluster, "general")
        for at, each in enumerate(found)
    ]
    wrong = replay.retired(olds, reviewed)
    return [each for at, each in enumerate(found) if str(at) not in wrong]


def _makes_things_up(question: str, answer: str, neighbours: Neighbours) -> bool:
    """Whether the answer names a made-up thing, or a thing that the question did not name."""
    named = content_words(answer)
    other = (named & neighbours.things) - content_words(question)
    return bool(other) or any(name <= named for name in neighbours.made_up)


def _is_made_up(asked: Example, neighbours: Neighbours) -> bool:
    """Whether the question is about a thing that nobody ever named."""
    named = content_words(asked.messages[-1]["content"])
    return any(name <= named for name in neighbours.made_up)


def _copy(of: Example, messages: tuple[Message, ...]) -> Example:
    return Example(
        kind="demonstration",
        messages=messages,
        target="",
        source="general",  # what it says anyway is no news, and is not remembered as learned
        feedback_ids=of.feedback_ids,
        cluster=of.cluster,
        made="neighbour",
    )


def _names(said: Sequence[tuple[Sequence[Message], str]]) -> frozenset[str]:
    """The words that name things: whoever says them was asked about them."""
    answers: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for messages, target in said:
        words = content_words(target)
        answers.update(words)
        asked.update(words & content_words(messages[-1]["content"]))
    return frozenset(word for word, n in asked.items() if n >= _ASKED_SHARE * answers[word])


def _subject(messages: Sequence[Message], target: str, names: frozenset[str]) -> tuple[str, ...]:
    """The words that name what is asked about: in the question and in the answer, in order."""
    shared = content_words(messages[-1]["content"]) & content_words(target) & names
    asked = normalised(messages[-1]["content"]).split()
    return tuple(dict.fromkeys(word for word in asked if word in shared))


def _about(
    messages: Sequence[Message], subject: Sequence[str], others: Sequence[str]
) -> tuple[Message, ...]:
    """The conversation with other words for the subject, wherever it is named.

    Where the other subject has more or fewer words, its words stand where the first ones stood.
    """
    words = list(others) + [""] * (len(subject) - len(others))
    if len(words) > len(subject):
        words = [*words[: len(subject) - 1], " ".join(words[len(subject) - 1 :])]
    for_each = dict(zip(subject, words, strict=True))
    pattern = re.compile(
        r"(?<!\w)("
        + "|".join(re.escape(w) for w in sorted(subject, key=len, reverse=True))
        + r")(?!\w)",
        re.IGNORECASE,
    )

    def other(match: re.Match[str]) -> str:
        return for_each[match.group().casefold()]

    return tuple(
        Message(role=turn["role"], content=_tidied(pattern.sub(other, turn["content"])))
        if turn["role"] == "user"
        else turn
        for turn in messages
    )


def _tidied(text: str) -> str:
    """Without the gaps that a missing word leaves."""
    return re.sub(r"\s+([?!.,;:])", r"\1", " ".join(text.split()))


class _Parts:
    """Makes up names of words that are parts of others, each where it stood there."""

    def __init__(self, subjects: Sequence[Sequence[str]]) -> None:
        self._known = {frozenset(subject) for subject in subjects}
        self._at: dict[tuple[int, int], list[str]] = {}
        for subject in sorted({tuple(subject) for subject in subjects}):
            for at, word in enumerate(subject):
                self._at.setdefault((len(subject), at), []).append(word)

    def mixed(self, like: Sequence[str], draw: random.Random) -> tuple[str, ...]:
        """A name of as many words that has at most half of the words of any known one; empty where
        none was found."""
        if len(like) == 1:
            return ()
        made = tuple(draw.choice(self._at[len(like), at]) for at in range(len(like)))
        words = frozenset(made)
        other = all(2 * len(each & words) <= len(each) for each in self._known)
        return made if other and len(words) == len(made) else ()


class _Letters:
    """Makes up words that look like given ones: from pairs of letters that follow one another."""

    def __init__(self, words: Collection[str]) -> None:
        self._known = frozenset(words)
        self._after: dict[str, list[str]] = {}
        for word in sorted(words):
            for pair in self._pairs(word):
                self._after.setdefault(pair[0], []).append(pair[1])

    def word(self, like: str, draw: random.Random) -> str:
        """A word about as long as another and none that is known; a number becomes another number."""
        made, length = like, len(like)
        while made in self._known:
            digits = (draw.choice("0123456789") for _ in range(length))
            made = "".join(digits) if like.isdigit() else self._word(length, draw)
            length += 1  # of a certain length there may be no other
        return made

    def _word(self, length: int, draw: random.Random) -> str:
        made = ""
        last = ""
        while len(made) < length:
            last = draw.choice(self._after.get(last) or self._after[""])
            made += last
        return made

    def _pairs(self, word: str) -> Iterator[tuple[str, str]]:
        return zip(("", *word), word, strict=False)
