"""What people said of the two versions of a deployment, read as it comes in. Decides nothing.

Only people who were given a version by their share count, and only with the version that is theirs:
whoever asked for a version by name chose it, and whoever met both tells nothing about either.
"""

from collections.abc import Iterator
from statistics import quantiles
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col

from feedback import signals
from feedback.columns import columns
from feedback.ids import earliest_id
from feedback.models import Exchange, Feedback, Receipt
from feedback.settings import PROJECT
from feedback.signals import Observed, Slot
from feedback.signals_labels import learnt
from feedback.signals_model import Learnt
from feedback.standing import assess
from feedback.statements import recent
from serving import canary_streams as names
from serving.engines.base import BASE
from serving.routing import MODEL, Route
from serving.settings import Settings
from trainer.models import Deployment

ORIGINS = ("chat", "completion", "tools")
"""A client's own prompts, such as for a title, are not what people asked."""
TOLD_OVERLAP_SECONDS = 60.0
"""Ids are made before the commit, by several processes whose clocks differ."""
ANSWERED_OVERLAP_SECONDS = 600.0
"""An answer is logged at its end under the time at which it began."""
SETTLE_SECONDS = 60.0
"""What people did with an answer is read so long after the first of it came."""
EARLIER_ANSWERS = 1_000
FEWEST_ANSWERS = 50
"""So many tell how long an answer usually takes."""
PORTION = 2_000


class Evidence:
    """The streams of one deployment, and how far they have been read.

    Args:
        deployment: with a second version beside the live one.
        settings: of the whole server.
    """

    def __init__(self, deployment: Deployment, settings: Settings) -> None:
        self.generation = deployment.generation
        self.canary_id = deployment.canary_id
        self.streams = names.streams(settings.trainer, deployment.canary_share)
        self._settings = settings
        self._route = Route(
            live=deployment.live_id or BASE,
            canary=deployment.canary_id,
            canary_share=deployment.canary_share,
        )
        self._since = deployment.created_at
        self._told_after = self._answered_after = deployment.created_at
        self._voted: set[Slot] = set()
        self._answered: set[str] = set()
        self._clicked: set[str] = set()
        self._satisfaction: Learnt | None = None
        self._slow_seconds: float | None = None
        self._early: list[float] = []

    def read(self, session: Session, *, now: float) -> None:
        """Hear what came in since the last time.

        Args:
            session: a session that only reads.
            now: Unix seconds.
        """
        self._votes(session)
        self._clicks(session, now)
        self._answers(session)
        self._told_after = max(self._since, now - TOLD_OVERLAP_SECONDS - SETTLE_SECONDS)
        self._answered_after = max(self._since, now - ANSWERED_OVERLAP_SECONDS)

    def _votes(self, session: Session) -> None:
        query = (
            columns(
                Feedback.exchange_id,
                Feedback.choice,
                Feedback.person_id,
                Feedback.rating,
                Feedback.correction,
                Exchange.adapter_id,
            )
            .select_from(Receipt)
            .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
            .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
            .where(
                col(Receipt.project_id) == PROJECT,
                col(Receipt.teaches),
                col(Receipt.feedback_id) > earliest_id("fbk", self._told_after),
                col(Receipt.status).not_in(["withdrawn", "forgotten"]),
                col(Feedback.rating).is_not(None) | col(Feedback.correction).is_not(None),
                col(Feedback.person_id) == col(Exchange.person_id),
                *self._met(),
            )
            .order_by(col(Receipt.feedback_id))
        )
        for row in self._theirs(session, query):
            slot = (row.exchange_id, row.choice, row.person_id)
            if slot in self._voted:
                continue  # it was heard; that they changed their mind came after
            self._voted.add(slot)
            value = 0.0 if row.correction is not None else float(row.rating)
            new = row.adapter_id == self._route.canary
            for name in names.DECISIVE:
                self.streams[name].see(row.person_id, value, new=new)

    def _answers(self, session: Session) -> None:
        if self._slow_seconds is None and not self._early:
            self._slow_seconds = self._usual(self._before(session))
        query = (
            columns(
                Exchange.id,
                Exchange.person_id,
                Exchange.adapter_id,
                Exchange.state,
                Exchange.seconds,
            )
            .where(
                col(Exchange.project_id) == PROJECT,
                col(Exchange.created_at) > self._answered_after,
                col(Exchange.state) != "forgotten",
                *self._met(),
            )
            .order_by(col(Exchange.created_at), col(Exchange.id))
        )
        before, self._answered = self._answered, set()
        for row in self._theirs(session, query):
            self._answered.add(row.id)
            if row.id in before:
                continue
            new = row.adapter_id == self._route.canary
            worked = float(row.state != "failed")
            self.streams[names.ERRORS].see(row.person_id, worked, new=new)
            if row.state != "complete" or row.seconds is None:
                continue  # they left, so that nobody knows how long it would have taken
            if self._slow_seconds is None:
                if not new:
                    self._early.append(row.seconds)
                    self._slow_seconds = self._usual(self._early)
                continue
            fast = float(row.seconds <= self._slow_seconds)
            self.streams[names.LATENCY].see(row.person_id, fast, new=new)

    def _clicks(self, session: Session, now: float) -> None:
        """What people did with answers on which they did not vote: the first such answer of each."""
        if not self._settings.feedback.signal_labels:
            return
        query = (
            columns(
                Feedback.exchange_id,
                Feedback.choice,
                Feedback.person_id,
                Feedback.received_at,
                Exchange.adapter_id,
            )
            .select_from(Feedback)
            .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
            .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
            .where(
                col(Feedback.id) > earliest_id("fbk", self._told_after - SETTLE_SECONDS),
                col(Feedback.signal).is_not(None),
                col(Receipt.status).not_in(["withdrawn", "forgotten"]),
                col(Feedback.person_id) == col(Exchange.person_id),
                *self._met(),
            )
            .order_by(col(Feedback.id))
        )
        settled: list[tuple[Observed, bool]] = []
        for row in self._theirs(session, query):
            slot = (row.exchange_id, row.choice, row.person_id)
            if row.person_id in self._clicked or slot in self._voted:
                continue
            if row.received_at + SETTLE_SECONDS > now:
                continue
            self._clicked.add(row.person_id)
            settled.append((Observed(slot), row.adapter_id == self._route.canary))
        if not settled:
            return
        if self._satisfaction is None:
            # Learned from what was said before this began, so that neither version has a part in it.
            feedback = self._settings.feedback
            standing = assess(recent(session), feedback)
            self._satisfaction = learnt(session, feedback, standing, before=self._since)
        if not self._satisfaction.usable:
            return
        signals.observe(session, [one for one, _ in settled])
        chances = self._satisfaction.predict([one.signals for one, _ in settled])
        for (one, new), chance in zip(settled, chances, strict=True):
            self.streams[names.SIGNALS].see(one.slot[2], min(max(chance, 0.0), 1.0), new=new)

    def _met(self) -> tuple[ColumnElement[bool], ...]:
        return (
            col(Exchange.created_at) >= self._since,
            col(Exchange.model) == MODEL,
            col(Exchange.origin).in_(ORIGINS),
            col(Exchange.adapter_id).in_([self._route.live, str(self._route.canary)]),
        )

    def _theirs(self, session: Session, query: Any) -> Iterator[Any]:
        """The rows of people who met the version that is theirs."""
        found = session.connection().execute(query.execution_options(yield_per=PORTION))
        for row in found:
            if row.adapter_id == self._route.adapter_for(row.person_id):
                yield row

    def _before(self, session: Session) -> list[float]:
        """How long the last answers of the live version took before this began."""
        query = (
            columns(Exchange.seconds)
            .where(
                col(Exchange.project_id) == PROJECT,
                col(Exchange.created_at) < self._since,
                col(Exchange.adapter_id) == self._route.live,
                col(Exchange.state) == "complete",
                col(Exchange.seconds).is_not(None),
            )
            .order_by(col(Exchange.created_at).desc())
            .limit(EARLIER_ANSWERS)
        )
        return [row.seconds for row in session.connection().execute(query)]

    def _usual(self, seconds: list[float]) -> float | None:
        if len(seconds) < FEWEST_ANSWERS:
            return None
        cuts = quantiles(seconds, n=1000, method="inclusive")
        return cuts[round(1000 * self._settings.trainer.canary_slow_quantile) - 1]
