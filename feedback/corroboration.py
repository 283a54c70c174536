"""Corroboration: whose corrections held up before, and who is independent of whom. Pure.

Three strangers who say the same stand in for a reviewer. Two accounts whose corrections others have
confirmed are as good evidence, and four that only ever confirm each other are one voice. Knows no
database; how often accounts are right comes from `agreement`, as it does for votes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import combinations
from typing import TYPE_CHECKING

from feedback import agreement
from feedback.statements import Statement
from feedback.words import content_words, normalised, supersedes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Claim = tuple[str, ...]
STRANGER = math.log(agreement.PRIOR_RIGHT / (1 - agreement.PRIOR_RIGHT))
"""The log-odds that a correction is right by the word of one account of which nothing is known."""
MOST_VOICES = 50
"""A claim that more accounts share is common knowledge, and says nothing of who belongs together."""
MOST_RIVALS = 20
"""So many claims that share their subject with one are compared with it, those of most people first …"""
MOST_COMPARED = 10_000
"""… and so many pairs in all: what bounds the time that a flood can take."""
LOOKED_AT = 25
"""To look at so many claims takes as long as to compare two."""


@dataclass
class Record:
    """How an account's corrections fared where anything tells; what the same people confirm over
    and over counts once.

    Attributes:
        right: how many are expected to be right.
        wrong: how many are expected to be wrong.
    """

    right: float = 0.0
    wrong: float = 0.0


@dataclass(frozen=True)
class Corroboration:
    """What accounts' corrections say of each other.

    Attributes:
        records: by person id; who is not in it is a stranger.
        parts: by feedback id, what this correction adds to its author's record.
        circles: by person id, the number of a circle; its members agree with each other far more
            often than accounts that speak on their own would, and count as one source.
        against: by feedback id, who says something else of the same thing.
    """

    records: Mapping[str, Record] = field(default_factory=dict)
    parts: Mapping[str, Record] = field(default_factory=dict)
    circles: Mapping[str, int] = field(default_factory=dict)
    against: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def log_odds(self, person_id: str, *, without: str | None = None) -> float:
        """The log-odds that a correction is right by this account's word alone.

        Args:
            person_id: the account.
            without: a delivery that shall not speak for its own author.
        """
        record = self.records.get(person_id, _NOTHING)
        part = self.parts.get(without, _NOTHING) if without is not None else _NOTHING
        right = agreement.PRIOR_RIGHT * agreement.PRIOR_VOTES + record.right - part.right
        wrong = (1 - agreement.PRIOR_RIGHT) * agreement.PRIOR_VOTES + record.wrong - part.wrong
        return math.log(right / wrong)

    def weigh(self, said: Mapping[str, str], source: Mapping[str, int]) -> tuple[int, float]:
        """Return how many independent sources make a claim, and the log-odds that it is right.

        Of one source the best voice counts. Who says something else of the same thing counts
        against it, unless their corrections seldom hold up.

        Args:
            said: feedback id by person id, all of one claim.
            source: by person id; accounts that appeared together share one.
        """
        best: dict[tuple[str, int], float] = {}
        for person, feedback_id in said.items():
            of = self._source(person, source[person])
            odds = self.log_odds(person, without=feedback_id)
            best[of] = max(best.get(of, odds), odds)
        others = {person for each in said.values() for person in self.against.get(each, ())} - set(
            said
        )
        # Who is mostly wrong says nothing by contradicting.
        dissent = sum(max(0.0, self.log_odds(person)) for person in others)
        return len(best), sum(best.values()) - dissent

    def _source(self, person: str, source: int) -> tuple[str, int]:
        circle = self.circles.get(person)
        return ("alone", source) if circle is None else ("circle", circle)


_NOTHING = Record()


def claim(asked: Sequence[str], correction: str) -> Claim:
    """Return what a correction claims, equal for people who say the same of the same thing.

    A correction that names its subject (it shares content words with the question) stands for
    itself, however the question was put. One that does not ("yes", "9 to 5") only means something
    beside its question, and beside what was asked before it.

    Args:
        asked: what the person said, the question last.
        correction: the answer as it should have been.
    """
    said = normalised(correction)
    if asked and _subject(asked, correction):
        return (said,)
    return (said, *map(normalised, asked))


def assess(statements: Sequence[Statement], *, circle_chance: float) -> Corroboration:
    """Work out whose corrections held up, from what was said of the same things.

    Args:
        statements: of which the corrections count.
        circle_chance: how probable it may be that any two independent accounts are taken for a
            circle; 0 looks for none.
    """
    claims = _Claims(each for each in statements if each.fix is not None)
    if not claims.told:
        return Corroboration()
    rivals = claims.rivals()
    good = claims.right(rivals)
    records: dict[str, Record] = defaultdict(Record)
    parts: dict[str, Record] = {}
    for at, voice, weight in claims.judged(rivals):
        part = Record(weight * good[at], weight * (1 - good[at]))
        records[voice].right += part.right
        records[voice].wrong += part.wrong
        for feedback_id in claims.said[at][voice]:
            parts[feedback_id] = part
    against = {
        feedback_id: people
        for at in rivals
        if (people := claims.against(at, rivals))
        for deliveries in claims.said[at].values()
        for feedback_id in deliveries
    }
    return Corroboration(dict(records), parts, claims.circles(circle_chance), against)


class _Claims:
    """Corrections, by what they claim.

    Attributes:
        said: per claim, by person id, the deliveries that make it.
        told: the claims of which anything tells: several people make them, or a reviewer decided.
    """

    def __init__(self, corrections: Iterable[Statement]) -> None:
        number: dict[Claim, int] = {}
        self._first: list[Statement] = []
        self._words: list[str] = []
        self.said: list[dict[str, list[str]]] = []
        self._decided: dict[int, bool] = {}
        same: dict[str, list[Statement]] = defaultdict(list)
        for each in corrections:
            same[normalised(each.fix or "")].append(each)
        for words, alike in same.items():
            alone = len(alike) == 1
            for each in alike:
                # Said once in these words: what was asked makes no difference.
                name = (words,) if alone else claim(each.answer[1:], each.fix or "")
                at = number.setdefault(name, len(number))
                if at == len(self.said):
                    self.said.append({})
                    self._first.append(each)
                    self._words.append(words)
                self.said[at].setdefault(each.person_id, []).append(each.feedback_id)
                if each.decided is not None:
                    self._decided[at] = each.decided
        self.told = [
            at for at, voices in enumerate(self.said) if len(voices) > 1 or at in self._decided
        ]

    def rivals(self) -> dict[int, set[int]]:
        """Per claim, the claims that say something else of the same thing."""
        wanted = {at: _subject(self._first[at].answer[1:], self._fix(at)) for at in self.told}
        words = frozenset().union(*wanted.values())
        naming: dict[str, set[int]] = defaultdict(set)
        asking: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for at, first in enumerate(self._first):
            for word in words.intersection(self._words[at].split()):
                naming[word].add(at)
            asking[first.answer[1:]].append(at)
        found: dict[int, set[int]] = defaultdict(set)
        left = MOST_COMPARED
        for at in sorted(self.told, key=self._rank):
            near: Collection[int]
            if subject := wanted[at]:
                near = set.intersection(*(naming[word] for word in subject))
            else:  # "yes" and "no" to one question
                near = asking[self._first[at].answer[1:]]
            known = {at, *found.get(at, ())}
            others = nsmallest(
                MOST_RIVALS, (each for each in near if each not in known), key=self._rank
            )
            left -= max(len(others), len(near) // LOOKED_AT)
            if left < 0:
                break
            for other in others:
                if self._contradict(at, other, subject):
                    found[at].add(other)
                    found[other].add(at)
        return found

    def against(self, at: int, rivals: Mapping[int, set[int]]) -> frozenset[str]:
        """Who makes a claim's rivals."""
        return frozenset(person for other in rivals.get(at, ()) for person in self.said[other])

    def right(self, rivals: Mapping[int, set[int]]) -> "dict[int, float]":
        """Per claim of which anything tells, rivals included, the probability that it is right."""
        import numpy as np

        judged = sorted({*self.told, *rivals})
        accounts: dict[str, int] = {}
        votes: list[tuple[int, int, int]] = []
        for item, at in enumerate(judged):
            for person in self.said[at]:
                votes.append((item, accounts.setdefault(person, len(accounts)), 1))
            for person in sorted(self.against(at, rivals) - set(self.said[at])):
                votes.append((item, accounts.setdefault(person, len(accounts)), 0))
        items, who, what = np.array(votes, dtype=np.int64).T
        gold = np.array([int(self._decided.get(at, -1)) for at in judged], dtype=np.int64)
        found = agreement.estimate(items, who, what, gold=gold, number=len(accounts))
        return dict(zip(judged, found.good.tolist(), strict=True))

    def judged(self, rivals: Mapping[int, set[int]]) -> Iterator[tuple[int, str, float]]:
        """Yield each claim and who makes it, with what it weighs in this account's record.

        One account may confirm or contradict another as often as it likes: that weighs once.
        """
        heard: dict[int, set[str]] = {}
        met: Counter[tuple[str, str]] = Counter()
        for at in sorted({*self.told, *rivals}):
            heard[at] = set(self.said[at])
            everybody = heard[at] | self.against(at, rivals)
            if len(everybody) <= MOST_VOICES:
                heard[at] = everybody
            if at not in self._decided and len(heard[at]) <= MOST_VOICES:
                met.update(combinations(sorted(heard[at]), 2))
        for at, voices in heard.items():
            for person in self.said[at]:
                if at in self._decided or len(voices) > MOST_VOICES:
                    yield at, person, 1.0
                elif len(voices) > 1:
                    times = (met[_pair(person, other)] for other in voices - {person})
                    yield at, person, 1 / min(times)

    def circles(self, chance: float) -> dict[str, int]:
        """Per person in one, the number of their circle.

        Two accounts that speak on their own make the same claims as often as two draws without
        regard to each other would (the hypergeometric tail; Fisher 1935, *The logic of inductive
        inference*), at the chance given for all pairs together (Bonferroni).
        """
        shared = [
            at
            for at in self.told
            if at not in self._decided and 1 < len(self.said[at]) <= MOST_VOICES
        ]
        makes = Counter(person for at in shared for person in self.said[at])
        together = Counter(pair for at in shared for pair in combinations(sorted(self.said[at]), 2))
        often = [(pair, times) for pair, times in sorted(together.items()) if times > 1]
        if not often or not chance:
            return {}
        pairs = math.comb(sum(times > 1 for times in makes.values()), 2)
        tails = _tails(
            [times for _, times in often],
            [makes[one] for (one, _), _ in often],
            [makes[other] for (_, other), _ in often],
            of=len(shared),
        )
        circle: dict[str, int] = {}
        for ((one, other), _), tail in zip(often, tails.tolist(), strict=True):
            if tail * pairs < chance:
                kept = circle.setdefault(one, len(circle))
                gone = circle.setdefault(other, kept)
                for person in [each for each, name in circle.items() if name == gone]:
                    circle[person] = kept
        return circle

    def _contradict(self, at: int, other: int, subject: frozenset[str]) -> bool:
        if subject:
            return supersedes(self._fix(at), self._fix(other), subject=subject)
        return not _subject(self._first[other].answer[1:], self._fix(other))

    def _rank(self, at: int) -> tuple[int, int]:
        return -len(self.said[at]), at

    def _fix(self, at: int) -> str:
        return self._first[at].fix or ""


def _subject(asked: Sequence[str], correction: str) -> frozenset[str]:
    """The content words of the question that the answer repeats."""
    return content_words(asked[-1]) & content_words(correction) if asked else frozenset()


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _tails(
    times: Sequence[int], first: Sequence[int], second: Sequence[int], *, of: int
) -> "NDArray[np.float64]":
    """The probability of at least so many claims in common, by chance."""
    import numpy as np
    from scipy.stats import hypergeom

    return np.asarray(hypergeom.sf(np.array(times) - 1, of, np.array(first), np.array(second)))
