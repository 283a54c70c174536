"""Which decision would change most, with the reason in words: the order of the review queue.

What one decision is worth, in pieces of feedback that it settles:

    (held alike + log2(asked)) × unsure + voters' disagreement + nearness of a quorum

`unsure` is the entropy, in bits, of the probability that the feedback is right: where trust already
says how it will end, a decision tells nothing new (uncertainty sampling, Lewis and Gale 1994, *A
sequential algorithm for training text classifiers*). Knows no reviewer; is worked out now and then,
beside everything else, and written where it has changed.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func
from sqlmodel import Session, col

from feedback import overlap, topics
from feedback.claims import NUMBER, TEXT
from feedback.columns import as_text, columns, uncollected
from feedback.ids import portions
from feedback.models import Exchange, Feedback
from feedback.review_index import ITEM, texts, wording
from feedback.review_models import ReviewItem
from feedback.rows import update_rows
from feedback.settings import PROJECT, FeedbackSettings
from feedback.standing import Standing, assess
from feedback.statements import recent

MOST_ITEMS = 20_000
"""The newest that wait are compared with each other; what is older keeps its place."""
CLOSE = 1e-6


class Placed(NamedTuple):
    """Where an item belongs: what is written, column by column."""

    feedback_id: str
    cluster: str
    topic: str | None
    trust: float
    rank: float
    why: str


class Worth(NamedTuple):
    """What a decision on one item stands on.

    Attributes:
        alike: how many that wait one decision would settle.
        asked: how often the question was asked.
        right: the probability that the feedback is right.
        liked: how many others liked the same answer.
        disliked: how many did not.
        agree: how many accounts say so, where accounts can make a quorum.
        quorum: how many it takes.
    """

    alike: int
    asked: int
    right: float
    liked: int = 0
    disliked: int = 0
    agree: int = 0
    quorum: int = 3

    def value(self) -> float:
        """In pieces of feedback that a decision settles."""
        return sum(part for part, _ in self.parts())

    def why(self) -> str:
        """The three reasons that weigh most, in words."""
        said = sorted((part for part in self.parts() if part[0] > CLOSE), key=lambda each: -each[0])
        return "; ".join(words for _, words in said[:3]) or "Nothing else is known of it."

    def parts(self) -> list[tuple[float, str]]:
        """Each reason with what it adds."""
        unsure = entropy(self.right)
        voters = self.liked + self.disliked
        split = 4 * self.liked * self.disliked / voters**2 if voters else 0.0
        near = self.agree / self.quorum if 1 < self.agree < self.quorum else 0.0
        alone = "it is as likely right as wrong" if unsure > 0.95 else "how it ends is open"
        return [
            (
                self.alike * unsure,
                f"settles {self.alike} that say nearly the same"
                if self.alike > 1
                else f"{alone} ({self.right:.0%} right by what is known)",
            ),
            (math.log2(max(self.asked, 1)) * unsure, f"the question was asked {self.asked} times"),
            (split, f"people disagree: {self.liked} liked this answer, {self.disliked} did not"),
            (near, f"{self.agree} of {self.quorum} accounts agree that would accept it together"),
        ]


def entropy(probability: float) -> float:
    """How unsure a probability leaves one, in bits: 1 at one half, 0 where all is known."""
    if not 0 < probability < 1:
        return 0.0
    rest = 1 - probability
    return -probability * math.log2(probability) - rest * math.log2(rest)


@uncollected()
def measure(session: Session, settings: FeedbackSettings) -> list[Placed]:
    """Work out the place of what waits; only those whose place has changed. Writes nothing.

    Args:
        session: one that only reads; it takes seconds where much waits.
        settings: whose word counts, and what makes a quorum.
    """
    query = (
        columns(
            ReviewItem.feedback_id,
            ReviewItem.kind,
            ReviewItem.cluster,
            ReviewItem.topic,
            ReviewItem.trust,
            ReviewItem.rank,
            ReviewItem.why,
            ReviewItem.person_id,
            Feedback.choice,
            Feedback.exchange_id,
            as_text(Feedback.body),
            as_text(Exchange.messages),
            as_text(Exchange.choices),
            Exchange.prompt_hash,
        )
        .select_from(ReviewItem)
        .join(Feedback, col(Feedback.id) == ReviewItem.feedback_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id, isouter=True)
        .where(
            col(ReviewItem.project_id) == PROJECT,
            col(ReviewItem.lane) == "waiting",
            col(ReviewItem.cluster).is_not(None),
        )
        .order_by(col(ReviewItem.feedback_id).desc())
        .limit(MOST_ITEMS)
    )
    rows = session.connection().execute(query).all()[::-1]
    if not rows:
        return []
    told = [texts(row) for row in rows]
    names = _clusters(rows, [wording(asked, said) for asked, said in told])
    found = topics.topics([wording(asked[-1:], said) for asked, said in told])
    standing = assess(recent(session), settings)
    asked_often = _asked(session, {row.prompt_hash for row in rows if row.prompt_hash})
    votes = _votes(session, {row.exchange_id for row in rows if row.exchange_id})
    sizes, speakers = Counter(names), _speakers(rows, names)
    placed = []
    for row, name, number in zip(rows, names, found.of, strict=True):
        liked, disliked = votes.get((row.exchange_id, row.choice), (0, 0))
        worth = Worth(
            alike=sizes[name],
            asked=asked_often.get(row.prompt_hash, 1),
            right=_right(standing, row.feedback_id, row.person_id),
            liked=liked,
            disliked=disliked,
            agree=len(speakers[name]) if row.kind == "correction" else 0,
            quorum=settings.quorum_accounts,
        )
        topic = None if number is None else found.labels[number]
        trust = standing.worth(row.person_id)
        here = Placed(row.feedback_id, name, topic, trust, -worth.value(), worth.why())
        if _moved(row, here):
            placed.append(here)
    return placed


def write(session: Session, placed: Sequence[Placed]) -> None:
    """Write where items belong. The caller commits; portions of a thousand keep others waiting least."""
    kinds = {"cluster": TEXT, "topic": TEXT, "trust": NUMBER, "rank": NUMBER, "why": TEXT}
    update_rows(session.connection(), ITEM, "feedback_id", kinds, placed)
    session.expire_all()


def _clusters(rows: Sequence[Any], said: Sequence[str]) -> list[str]:
    """Near duplicates of one kind share the name that the oldest of them has."""
    first: dict[tuple[str, int], str] = {}
    return [
        first.setdefault((row.kind, group), row.cluster)
        for row, group in zip(rows, overlap.groups(said), strict=True)
    ]


def _speakers(rows: Sequence[Any], names: Sequence[str]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row, name in zip(rows, names, strict=True):
        found[name].add(row.person_id)
    return found


def _right(standing: Standing, feedback_id: str, person_id: str) -> float:
    """The probability that it is right: by what others say, by its account, or by any account."""
    weighed = standing.weigh(feedback_id)
    if weighed.right is not None:
        return weighed.right
    account = standing.accounts.get(person_id)
    return standing.typical if account is None else account.accuracy


def _asked(session: Session, hashes: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in portions(hashes):
        query = (
            columns(Exchange.prompt_hash, func.count())
            .where(col(Exchange.project_id) == PROJECT, col(Exchange.prompt_hash).in_(some))
            .group_by(Exchange.prompt_hash)
        )
        found |= {name: count for name, count in session.connection().execute(query)}
    return found


def _votes(session: Session, exchanges: set[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """How many liked each answer, and how many did not; a correction is no praise."""
    liked: Counter[tuple[str, int]] = Counter()
    disliked: Counter[tuple[str, int]] = Counter()
    for some in portions(exchanges):
        query = columns(
            Feedback.exchange_id, Feedback.choice, Feedback.rating, Feedback.correction
        ).where(
            col(Feedback.exchange_id).in_(some),
            col(Feedback.rating).is_not(None) | col(Feedback.correction).is_not(None),
        )
        for row in session.connection().execute(query):
            praised = row.correction is None and row.rating is not None and row.rating > 0.5
            (liked if praised else disliked)[row.exchange_id, row.choice] += 1
    return {name: (liked[name], disliked[name]) for name in {*liked, *disliked}}


def _moved(row: Any, here: Placed) -> bool:
    same = (row.cluster, row.topic, row.why) == (here.cluster, here.topic, here.why)
    near = row.trust is not None and abs(row.trust - here.trust) < CLOSE
    return not (same and near and abs(row.rank - here.rank) < CLOSE)
