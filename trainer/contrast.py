"""What was disliked beside what was liked: from thumbs alone, how an answer should have been put. Pure.

A thumb down says that an answer was wrong, and nothing of what would be right; a model that never
says it otherwise learns little from it. Where people liked another answer that says the same of the
same thing under the same instructions, only the manner differs, and the liked answer shows the one
that is wanted here. It is shown in the place of the disliked one, as a correction would be.

That liked and disliked answers teach most beside each other is what Liu et al. found (2023, "Chain of
hindsight aligns language models with feedback", https://arxiv.org/abs/2302.02676), who put both into
one text; here they make an ordinary demonstration and a preference.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from feedback import overlap
from feedback.words import content_words, nearly_alike
from trainer.examples import Example, Message
from trainer.replay import Old

STEM_LETTERS = 5
"""So much of a word has to be the same: "deliver" is "delivery"."""
MOST_LIKED = 20
"""So many liked answers, whose questions share the most words, are looked at for each disliked one."""
LIKE_SHARE = 0.3
"""Two questions that share this much of their words (Jaccard) may ask for the same."""


def contrasted(new: Sequence[Example], liked: Iterable[Old]) -> list[Example]:
    """Return the examples, with a demonstration and a preference in place of some thumbs down.

    Args:
        new: of one round. What signals say makes no contrast, nor does a conversation of several
            turns: what came before may be what was liked.
        liked: answers that people liked, in a fixed order; of equals the last one counts.
    """
    known = _Liked(liked)
    found: list[Example] = []
    for example in new:
        other = known.like(example) if _is_thumb_down(example) else None
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


@dataclass(frozen=True)
class _Said:
    """One answer as it is compared: stems of the question, of the answer, and of what both hold."""

    asked: frozenset[str]
    said: frozenset[str]

    @property
    def subject(self) -> frozenset[str]:
        return self.asked & self.said


class _Liked:
    """Liked answers to single questions, found by the instructions and the words of the question."""

    def __init__(self, liked: Iterable[Old]) -> None:
        self._olds: list[Old] = []
        self._said: list[_Said] = []
        self._places: dict[tuple[str, str], list[int]] = defaultdict(list)
        for old in liked:
            question = _question(old.messages)
            if question is None:
                continue
            said = _Said(_stems(question), _stems(old.target))
            for stem in said.asked:
                self._places[_instructions(old.messages), stem].append(len(self._olds))
            self._olds.append(old)
            self._said.append(said)

    def like(self, example: Example) -> Old | None:
        """The liked answer that says the same in another manner; None where there is none."""
        question = _question(example.messages)
        if question is None:
            return None
        ours = _Said(_stems(question), _stems(example.target))
        system = _instructions(example.messages)
        shared = Counter(at for stem in ours.asked for at in self._places.get((system, stem), ()))
        near = sorted(shared, key=lambda at: (-shared[at], -at))[:MOST_LIKED]
        return next((self._olds[at] for at in near if _same_matter(ours, self._said[at])), None)


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


def _is_thumb_down(example: Example) -> bool:
    return example.kind == "verdict" and example.liked is False and not example.signal


def _question(messages: Sequence[Message]) -> str | None:
    """The question, where nothing was said before it."""
    asked = [each["content"] for each in messages if each["role"] != "system"]
    return asked[0] if len(asked) == 1 else None


def _instructions(messages: Sequence[Message]) -> str:
    return "\n".join(each["content"] for each in messages if each["role"] == "system")


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:STEM_LETTERS] for word in content_words(text))
