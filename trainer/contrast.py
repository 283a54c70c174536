"""What was disliked beside what is liked: from thumbs alone, how an answer should have been put. Pure.

A thumb down says that an answer was wrong, and nothing of what would be right; a model that never
says it otherwise learns little from it. Where there is another answer that says the same of the
same thing, only the manner differs, and it shows the one that is wanted here, if people liked that
very answer under the same instructions, or if their thumbs tell what manner they like there and it has it
(`trainer.manner`). It is shown in the place of the disliked one, as a correction would be.

That liked and disliked answers teach most beside each other is what Liu et al. found (2023, "Chain of
hindsight aligns language models with feedback", https://arxiv.org/abs/2302.02676), who put both into
one text; here they make an ordinary demonstration and a preference.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from feedback import overlap
from feedback.words import content_words, nearly_alike
from trainer import manner
from trainer.examples import Example, Message
from trainer.manner import Manner, Vote
from trainer.replay import Old

STEM_LETTERS = 5
"""So much of a word has to be the same: "deliver" is "delivery"."""
MOST_LIKED = 20
"""So many liked answers, whose questions share the most words, are looked at for each disliked one …"""
MOST_OTHERS = 200
"""… and so many others: what general material holds of one thing may all be put in one manner."""
LIKE_SHARE = 0.3
"""Two questions that share this much of their words (Jaccard) may ask for the same."""
LEAST_ODDS = 1.0
"""An answer that has the manner people like is so much likelier to be liked than the disliked one, in nats."""


def contrasted(
    new: Sequence[Example], liked: Iterable[Old], others: Iterable[Old] = ()
) -> list[Example]:
    """Return the examples, with a demonstration and a preference in place of some thumbs down.

    Args:
        new: of one round. What signals say makes no contrast, nor does a conversation of several
            turns: what came before may be what was liked.
        liked: answers that people liked, in a fixed order; of equals the last one counts.
        others: answers that nobody judged, such as general material; whatever they were given under.
    """
    known = _Answers(liked, by=_instructions, most=MOST_LIKED)
    rest = _Answers(others, by=lambda _: "", most=MOST_OTHERS)
    manners = _manners(new)
    found: list[Example] = []
    for example in new:
        other = None
        if _is_thumb_down(example):
            other = next(iter(known.same(example)), None) or _put_otherwise(example, rest, manners)
        if other is None:
            found.append(example)
            continue
        shared = replace(
            example,
            target=other.target,
            liked=None,
            weight=min(example.weight, other.trust),
            feedback_ids=tuple(dict.fromkeys((*example.feedback_ids, *other.feedback_ids))),
            made="contrast",
        )
        found.append(replace(shared, kind="demonstration", news=False))
        if not nearly_alike(other.target, example.target):
            found.append(replace(shared, kind="preference", rejected=example.target))
    return found


def _manners(new: Sequence[Example]) -> Callable[[str], Manner | None]:
    """What tells how people like answers to be put, by the instructions they are given under."""
    votes: dict[str, list[Vote]] = defaultdict(list)
    for example in new:
        if _is_thumb(example):
            question = _question(example.messages) or ""
            vote = Vote(question, example.target, example.cluster, bool(example.liked))
            votes[_instructions(example.messages)].append(vote)

    @cache
    def under(instructions: str) -> Manner | None:
        return manner.learned(votes[instructions])

    return under


def _put_otherwise(
    example: Example, rest: "_Answers", manners: Callable[[str], Manner | None]
) -> Old | None:
    """The one that says the same in the manner that people like best, if any."""
    odds = manners(_instructions(example.messages))
    if odds is None:
        return None
    same = rest.same(example)
    if not same:
        return None
    answers = [example.target, *(old.target for old in same)]
    disliked, *found = odds(_question(example.messages) or "", answers)
    best = max(found)
    return same[found.index(best)] if best >= LEAST_ODDS + max(0.0, disliked) else None


@dataclass(frozen=True)
class _Said:
    """One answer as it is compared: stems of the question, of the answer, and of what both hold."""

    asked: frozenset[str]
    said: frozenset[str]

    @classmethod
    def of(cls, messages: Sequence[Message], answer: str) -> "_Said":
        """Of a single question."""
        return cls(_stems(_question(messages) or ""), _stems(answer))

    @property
    def subject(self) -> frozenset[str]:
        return self.asked & self.said


class _Answers:
    """Answers to single questions, found by the words of the question; compared when first sought.

    Args:
        olds: in a fixed order.
        by: what of a conversation has to be the same.
        most: so many, whose questions share the most words, are looked at.
    """

    def __init__(
        self, olds: Iterable[Old], *, by: Callable[[Sequence[Message]], str], most: int
    ) -> None:
        self._given, self._by, self._most = olds, by, most

    def same(self, example: Example) -> list[Old]:
        """Those that say the same of the same thing, whose questions are most alike first."""
        ours = _Said.of(example.messages, example.target)
        group = self._by(example.messages)
        shared = Counter(at for stem in ours.asked for at in self._places.get((group, stem), ()))
        near = sorted(shared, key=lambda at: (-shared[at], -at))[: self._most]
        return [self._olds[at] for at in near if _same_matter(ours, self._said[at])]

    @cached_property
    def _olds(self) -> list[Old]:
        return [old for old in self._given if _question(old.messages) is not None]

    @cached_property
    def _said(self) -> list[_Said]:
        return [_Said.of(old.messages, old.target) for old in self._olds]

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[int]]:
        """By what has to be the same, and every stem of a question."""
        places: dict[tuple[str, str], list[int]] = defaultdict(list)
        for at, (old, said) in enumerate(zip(self._olds, self._said, strict=True)):
            group = self._by(old.messages)
            for stem in said.asked:
                places[group, stem].append(at)
        return places


def _same_matter(ours: _Said, theirs: _Said) -> bool:
    """Whether two answers say the same of the same thing, one of them perhaps with more words."""
    if not overlap.alike(ours.asked, theirs.asked, share=LIKE_SHARE):
        return False
    # What either names of its question the other one was asked about, too.
    if not (ours.subject <= theirs.asked and theirs.subject <= ours.asked):
        return False
    if not ours.said or not theirs.said:
        return False
    return ours.said <= theirs.said or theirs.said <= ours.said


def _is_thumb(example: Example) -> bool:
    """Whether somebody judged the answer to a single question."""
    single = _question(example.messages) is not None
    return example.kind == "verdict" and not example.signal and single


def _is_thumb_down(example: Example) -> bool:
    return example.liked is False and _is_thumb(example)


def _question(messages: Sequence[Message]) -> str | None:
    """The question, where nothing was said before it."""
    asked = [each["content"] for each in messages if each["role"] != "system"]
    return asked[0] if len(asked) == 1 else None


def _instructions(messages: Sequence[Message]) -> str:
    return "\n".join(each["content"] for each in messages if each["role"] == "system")


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:STEM_LETTERS] for word in content_words(text))
