"""Weak labels: what signals say of answers on which nobody voted, and how far they are trusted.

Knows no SQL and no receipts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from feedback import signals
from feedback.settings import FeedbackSettings
from feedback.signals import Observed, Slot
from feedback.signals_model import Learnt, learn
from feedback.standing import Standing
from feedback.trust import cap

MOST_PAIRS = 1_000
"""The newest; with twice as many its AUC is better by 0.001 (`benchmarks.planted_noise`)."""
MOST_LABELS = 1_000
"""In one round; each counts for so little that more would hardly teach more."""


@dataclass(frozen=True)
class Label:
    """A weak label.

    Attributes:
        slot: which answer, and who.
        feedback_ids: the deliveries that it rests on.
        satisfied: probability that the person was satisfied.
        weight: how much it counts, from 0 to the setting `signal_weight`.
    """

    slot: Slot
    feedback_ids: tuple[str, ...]
    satisfied: float
    weight: float

    @property
    def person_id(self) -> str:
        """Whose signals they are."""
        return self.slot[2]


def labels(
    session: Session, settings: FeedbackSettings, standing: Standing, *, most: int
) -> list[Label]:
    """Return weak labels for answers with delivered signals and without a vote, newest first.

    None where signals do not teach: switched off, too few votes beside signals, or a model that is
    no better than chance. An answer of which its signals say no more than the base rate gets none.

    Args:
        session: a session that only reads.
        settings: whether signals teach, and how much at most.
        standing: an account whose votes do not hold up counts no more when it clicks.
        most: so many at most.
    """
    if not settings.signal_labels or not most:
        return []
    observed = signals.unvoted(session, most=min(most, MOST_LABELS))
    if not observed:
        return []
    model = learnt(session, settings, standing)
    if not model.usable:
        return []
    chances = model.predict([one.signals for one in observed])
    return [
        Label(one.slot, tuple(sorted(one.delivered)), satisfied, weight)
        for one, satisfied in zip(observed, chances, strict=True)
        if (weight := settings.signal_weight * standing.worth(one.slot[2])) > 0
        and one.delivered
        and model.tells(satisfied)
    ]


def learnt(
    session: Session,
    settings: FeedbackSettings,
    standing: Standing,
    *,
    per_signal: bool = False,
    before: float | None = None,
) -> Learnt:
    """Learn what signals mean from the answers that people also voted on.

    Args:
        session: a session that only reads.
        settings: the cap on one account, which holds here too.
        standing: how much whose votes count.
        per_signal: also say what each signal is worth, for a report; takes a few times as long.
        before: of votes that came before this time alone, in Unix seconds.
    """
    found = signals.pairs(session, most=MOST_PAIRS, before=before)
    return learn(
        [one.signals for one in found],
        [bool(one.satisfied) for one in found],
        [one.slot[2] for one in found],
        _weights(found, settings, standing),
        per_signal=per_signal,
    )


def _weights(
    found: Sequence[Observed], settings: FeedbackSettings, standing: Standing
) -> list[float]:
    """One account counts no more here than in a round."""
    most = cap(settings, round_size=len(found))
    each_has = Counter(one.slot[2] for one in found)
    return [standing.worth(one.slot[2]) * min(1.0, most / each_has[one.slot[2]]) for one in found]
