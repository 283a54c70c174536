"""Standing: how much each account's word counts, and why. Pure; knows no database.

A statement counts fully unless something speaks against it: its account's votes seldom hold up, the
others outvote it on this answer, it repeats what was said, or the account is younger than a day.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from feedback import agreement, corroboration, duplicates
from feedback.corroboration import Corroboration
from feedback.settings import FeedbackSettings
from feedback.statements import Kind, Statement

COUNTS_FROM = 0.1
"""What is worth less than this does not count at all."""
FEWEST_JUDGED = 10
"""An estimate of noise from fewer votes than this would be an anecdote."""


@dataclass(frozen=True)
class Account:
    """One account, as its votes show it.

    Attributes:
        worth: from 0 to 1: how informative its votes are beside a typical account's.
        accuracy: how often it is expected to be right.
        votes: its statements.
        mean_weight: what they count on average, everything taken together.
        judged: those on answers that others judged too, or that a reviewer decided.
        wrong: how many of these are expected to be wrong.
        refused: those that a reviewer refused.
        repeats: statements that repeat others of the same source.
        young: statements made before the account was old enough.
        outvoted: statements that others, whose votes hold up, contradict.
    """

    worth: float
    accuracy: float
    votes: int
    mean_weight: float
    judged: int
    wrong: float
    refused: int
    repeats: int
    young: int
    outvoted: int


class Weighed(NamedTuple):
    """How much one statement counts.

    Attributes:
        weight: from 0 to 1.
        right: the probability that it is right; None where nothing tells.
        reason: why it counts less than fully, for its receipt; empty where it does not.
        share: its part of what one source said over and over, 1 where it was said once.
    """

    weight: float
    right: float | None
    reason: str = ""
    share: float = 1.0


@dataclass(frozen=True)
class Noise:
    """How much of one kind of feedback is expected to be wrong.

    Attributes:
        wrong_share: between 0 and 1; None where too little tells.
        votes: how many there are.
        judged: how many the estimate rests on.
    """

    wrong_share: float | None
    votes: int
    judged: int


@dataclass(frozen=True)
class Standing:
    """Everybody's standing at one moment.

    Attributes:
        accounts: by person id.
        weighed: by feedback id.
        noise: by kind of feedback.
        typical: how often a typical account is right.
        answers: how many answers were voted on.
        shared: how many of them by several accounts, or by a reviewer.
        decided: how many statements a reviewer decided.
        corrections: whose corrections held up, and who is independent of whom, if asked for.
    """

    accounts: Mapping[str, Account] = field(default_factory=dict)
    weighed: Mapping[str, Weighed] = field(default_factory=dict)
    noise: Mapping[Kind, Noise] = field(default_factory=dict)
    typical: float = agreement.PRIOR_RIGHT
    answers: int = 0
    shared: int = 0
    decided: int = 0
    corrections: Corroboration = field(default_factory=Corroboration)

    def worth(self, person_id: str) -> float:
        """How much an account's word counts; fully, where nothing is known of it."""
        account = self.accounts.get(person_id)
        return 1.0 if account is None else account.worth

    def weigh(self, feedback_id: str) -> Weighed:
        """How much a statement counts; fully, where nothing speaks against it."""
        return self.weighed.get(feedback_id, _UNKNOWN)


_UNKNOWN = Weighed(1.0, None)


def assess(
    statements: Sequence[Statement], settings: FeedbackSettings, *, corroborate: bool = False
) -> Standing:
    """Work out everybody's standing from what they said.

    Args:
        statements: the newest explicit votes, oldest first; of one account's votes on one answer
            the last counts.
        settings: the age at which an account is grown up, what a younger one's word counts, and how
            close in time accounts appear that one person made up, and how like each other they speak.
        corroborate: also work out whose corrections held up, which a quorum asks for.
    """
    if not statements:
        return Standing()
    clusters = duplicates.clusters(statements, burst_seconds=settings.quorum_burst_seconds)
    cluster_of = {position: cluster for cluster in clusters for position in cluster}
    share = [1 / len(cluster_of.get(position, (position,))) for position in range(len(statements))]
    votes = _Votes(statements, share)
    found = votes.estimate()
    weighed: dict[str, Weighed] = {}
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    noise: dict[Kind, list[float | None]] = defaultdict(list)
    for position, statement in enumerate(statements):
        number = votes.accounts[statement.person_id]
        right = votes.right(found, position)
        known = right
        if right is None and votes.judged(number):
            known = votes.accuracy(found, number)
        noise[statement.kind].append(known)
        grounds = _Grounds(worth=1.0, agreed=1.0, share=1.0, young=False)
        if not statement.decided:  # what a reviewer stood by counts, whoever said it
            grounds = _Grounds(
                worth=float(found.worth[number]),
                # Soft labels: of two who disagree, each counts by the chance of being right.
                agreed=1.0 if right is None else min(right / found.typical, 1.0),
                share=share[position],
                young=_is_young(statement, settings),
            )
        one = grounds.weigh(known, settings)
        weighed[statement.feedback_id] = one
        tallies[statement.person_id].add(statement, one, right, grounds)
    return Standing(
        accounts={
            person: tallies[person].account(
                worth=float(found.worth[number]), accuracy=votes.accuracy(found, number)
            )
            for person, number in votes.accounts.items()
        },
        weighed=weighed,
        noise={kind: expected_noise(rights) for kind, rights in sorted(noise.items())},
        typical=found.typical,
        answers=len(votes.items),
        shared=votes.shared(found),
        decided=sum(statement.decided is not None for statement in statements),
        corrections=(
            corroboration.assess(statements, circle_chance=settings.quorum_circle_chance)
            if corroborate
            else Corroboration()
        ),
    )


def expected_noise(rights: Sequence[float | None]) -> Noise:
    """Return the share of votes that is expected to be wrong.

    Args:
        rights: per vote, the probability that it is right; None where nothing tells.
    """
    known = [right for right in rights if right is not None]
    share = sum(1 - right for right in known) / len(known) if len(known) >= FEWEST_JUDGED else None
    return Noise(share, votes=len(rights), judged=len(known))


class _Grounds(NamedTuple):
    """What speaks for and against one statement, each from 0 to 1."""

    worth: float
    agreed: float
    share: float
    young: bool

    def weigh(self, right: float | None, settings: FeedbackSettings) -> Weighed:
        """The weight, with the reason that takes most of it."""
        if self.worth == self.agreed == self.share == 1 and not self.young:
            return Weighed(1.0, right)
        grown = settings.young_account_weight if self.young else 1.0
        lowest = min(self.worth, self.agreed)
        weight = lowest * self.share * grown if lowest >= COUNTS_FROM else 0.0
        if weight == 1:
            return Weighed(1.0, right, share=self.share)
        reasons = {
            "the votes of this account seldom agree with those that hold up": self.worth,
            "others, whose votes hold up, say the opposite of the same answer": self.agreed,
            "near duplicates from one source count once": self.share,
            "the account was too young": grown,
        }
        reason = min(reasons, key=lambda each: reasons[each])
        return Weighed(weight, right, reason, self.share)


@dataclass
class _Tally:
    """What adds up over the statements of one account."""

    votes: int = 0
    weight: float = 0.0
    judged: int = 0
    wrong: float = 0.0
    refused: int = 0
    repeats: int = 0
    young: int = 0
    outvoted: int = 0

    def add(
        self, statement: Statement, one: Weighed, right: float | None, grounds: _Grounds
    ) -> None:
        """Count one statement."""
        self.votes += 1
        self.weight += one.weight
        self.refused += statement.decided is False
        self.repeats += grounds.share < 1
        self.young += grounds.young
        if right is not None:
            self.judged += 1
            self.wrong += 1 - right
            self.outvoted += right < 0.5

    def account(self, *, worth: float, accuracy: float) -> Account:
        """The account that they make."""
        return Account(
            worth=worth,
            accuracy=accuracy,
            votes=self.votes,
            mean_weight=self.weight / self.votes,
            judged=self.judged,
            wrong=self.wrong,
            refused=self.refused,
            repeats=self.repeats,
            young=self.young,
            outvoted=self.outvoted,
        )


class _Votes:
    """Statements as numbered votes on numbered answers."""

    def __init__(self, statements: Sequence[Statement], share: Sequence[float]) -> None:
        self.accounts: dict[str, int] = {}
        self.items: dict[tuple[object, ...], int] = {}
        self._gold: dict[int, int] = {}
        self._judged: Counter[int] = Counter()
        last: dict[tuple[int, int], int] = {}
        self._weights: dict[tuple[int, int], float] = defaultdict(float)
        self._slot: list[tuple[int, int] | None] = []
        self._liked: list[bool | None] = []
        for position, statement in enumerate(statements):
            account = self.accounts.setdefault(statement.person_id, len(self.accounts))
            self._liked.append(statement.liked)
            if statement.liked is None:
                self._slot.append(None)
                continue
            name: tuple[object, ...] = statement.answer
            wrong_fix = statement.kind == "correction" and statement.decided is False
            if wrong_fix:
                # Refusing a correction says that its author erred, and nothing of the answer.
                name = (statement.feedback_id, "refused")
            item = self.items.setdefault(name, len(self.items))
            if statement.decided is not None:
                self._gold[item] = int(statement.liked == statement.decided)
            slot = (account, item)
            self._slot.append(slot)
            last[slot] = position
            self._weights[slot] += share[position]
        self._last = last
        self._row = {slot: row for row, slot in enumerate(last)}

    def estimate(self) -> agreement.Agreement:
        """Run the estimate; what only compares answers has no part in it."""
        import numpy as np

        slots = list(self._last)
        gold = np.full(len(self.items), -1)
        for item, label in self._gold.items():
            gold[item] = label
        found = agreement.estimate(
            np.array([item for _, item in slots], dtype=np.int64),
            np.array([account for account, _ in slots], dtype=np.int64),
            np.array([bool(self._liked[at]) for at in self._last.values()], dtype=np.int64),
            weights=np.array([min(1.0, self._weights[slot]) for slot in slots]),
            gold=gold,
            number=len(self.accounts),
        )
        for (account, _), shared in zip(slots, found.shared, strict=True):
            self._judged[account] += bool(shared)
        return found

    def right(self, found: agreement.Agreement, position: int) -> float | None:
        """The probability that a statement is right; None where nobody else tells."""
        slot = self._slot[position]
        if slot is None or not found.shared[self._row[slot]]:
            return None
        good = float(found.good[slot[1]])
        return good if self._liked[position] else 1 - good

    def judged(self, account: int) -> bool:
        """Whether anything tells how often an account is right."""
        return self._judged[account] > 0

    def accuracy(self, found: agreement.Agreement, account: int) -> float:
        """How often an account is expected to be right."""
        return float(found.hit_rate[account] + found.pass_rate[account]) / 2

    def shared(self, found: agreement.Agreement) -> int:
        """How many answers more than one voice judged."""
        return len({item for (_, item), each in zip(self._last, found.shared, strict=True) if each})


def _is_young(statement: Statement, settings: FeedbackSettings) -> bool:
    age = statement.received_at - statement.first_seen_at
    return not statement.imported and age < settings.quorum_min_age_seconds
