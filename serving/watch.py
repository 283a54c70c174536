"""Watches the version that answers everybody: reads, measures, raises alerts. Knows no statistics.

Everything that was counted is in the database, so that a restart goes on where it was, and showing it
costs nothing. Several processes may look at once: each reads, and of those that read the same answers
the first to write has counted them; the others throw theirs away. Nothing here holds the database while
it counts.
"""

import logging
import time
from dataclasses import asdict, dataclass

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from feedback.ids import new_id
from feedback.settings import PROJECT
from feedback.store import Store
from serving import watch_measures as measures
from serving import watch_reading as reading
from serving import watch_rollback
from serving.models import Alert, WatchedVersion
from serving.settings import Settings
from serving.watch_alerts import resolve_others
from serving.watch_periods import Period, periods, reference
from serving.watch_reading import Place
from trainer.usual import Usual, learn
from trainer.watching import Detector

log = logging.getLogger("heed.watch")

MOST_AT_ONCE = 10_000
"""Answers that are read in one look; a version that has answered for months is caught up with in
several."""
PORTION = 1_000
LEARNED_FROM = 300
"""What is usual is learned from the newest answers, of so many at most …"""
LEARNED_LEAST = 100
"""… and of so many people at least."""


@dataclass
class Counted:
    """What one look has read, not yet written."""

    own: bool
    place: Place
    usual: Usual | None
    detectors: dict[str, Detector]
    alarms: list[str]
    heard: measures.Heard
    read: int = 0


class Watch:
    """Looks again and again; between two looks it remembers who was counted today.

    Args:
        store: the database.
        settings: of the whole server.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._heard: tuple[str, int, measures.Heard] | None = None

    def look(self, *, now: float | None = None) -> list[Alert]:
        """Count what is new; returns the alerts that follow from it.

        Args:
            now: Unix seconds; by default the clock's.

        Raises:
            Unavailable, StorageFull: the database cannot be read or written; nothing was changed.
        """
        if not self._settings.trainer.watch:
            return []
        now = time.time() if now is None else now
        with self._store.session() as session:
            row = _current(session)
        if row is None:
            row = self._begin(now)
            if row is None:
                return []
        with self._store.session() as session:
            counted = self._count(session, row, now)
        with self._store.session(write=True) as session:
            alerts = self._keep(session, row, counted, now)
            if alerts is None:
                return []
            session.commit()
        self._heard = (row.id, row.revision + 1, counted.heard)
        for alert in alerts:
            log.warning("%s", alert.message)
        return alerts

    def _begin(self, now: float) -> WatchedVersion | None:
        """Begin to watch a version that has gone live; None where another process has just done so."""
        with self._store.session(write=True) as session:
            known = periods(session)
            period, before = known[-1], reference(session, known)
            row = WatchedVersion(
                id=new_id("wat"),
                deployment_id=period.deployment,
                adapter_id=period.adapter,
                since=period.begin,
                own=before is None,
                read_until=period.begin if before is None else self._reach(session, before),
                reference_id=before.adapter if before else None,
                reference_until=(before.end or 0.0) if before else 0.0,
                measures={},
                updated_at=now,
            )
            session.add(row)
            try:
                session.flush()
            except IntegrityError:
                return None
            session.commit()
        return row

    def _reach(self, session: Session, before: Period) -> float:
        most = self._settings.trainer.watch_reference
        end = before.end or 0.0
        return reading.newest(session, before.adapter, before.begin, end, most=most)

    def _count(self, session: Session, row: WatchedVersion, now: float) -> Counted:
        settings = self._settings.trainer
        counted = Counted(
            own=row.own,
            place=Place(row.read_until, row.read_id),
            usual=Usual(**row.usual) if row.usual else None,
            detectors=_begun_anew(session, row, measures.detectors(settings, row.measures)),
            alarms=[],
            heard=self._who(session, row),
        )
        settled = now - settings.watch_settle_seconds
        while counted.read < MOST_AT_ONCE:
            end = settled if counted.own else min(settled, row.reference_until)
            if end > counted.place.at:
                self._portion(session, row, counted, end)
                if counted.place.id:
                    continue  # there is more
            if counted.own or counted.place.at < row.reference_until:
                break
            counted.own, counted.place = True, Place(row.since)
            counted.heard = measures.Heard()
        if counted.own:
            found = [name for name, each in counted.detectors.items() if each.look()]
            counted.alarms += found
        return counted

    def _portion(self, session: Session, row: WatchedVersion, counted: Counted, end: float) -> None:
        """Read the next answers of the version whose turn it is."""
        adapter = row.adapter_id if counted.own else str(row.reference_id)
        if counted.usual is None:
            begin = row.since if counted.own else 0.0
            counted.usual = _usual(session, adapter, begin, counted.place)
        found, counted.place = reading.answers(
            session,
            adapter,
            counted.place,
            end,
            most=PORTION if counted.usual else LEARNED_FROM,
            settle=self._settings.trainer.watch_settle_seconds,
        )
        counted.read += len(found)
        for answer in found:
            first, vote = counted.heard.first(answer)
            for name, value in measures.observations(
                answer, counted.usual, self._settings, first=first, vote=vote
            ):
                detector = counted.detectors[name]
                if not counted.own:
                    detector.refer(value)
                elif detector.see(value, answer.at):
                    counted.alarms.append(name)

    def _who(self, session: Session, row: WatchedVersion) -> measures.Heard:
        """Who was counted on the last day that was read; read again only after a restart."""
        remembered, self._heard = (
            self._heard,
            None,
        )  # it changes, and what is read may be thrown away
        if remembered is not None and remembered[:2] == (row.id, row.revision):
            return remembered[2]
        heard = measures.Heard()
        adapter = row.adapter_id if row.own else str(row.reference_id)
        day = row.read_until // measures.DAY_SECONDS * measures.DAY_SECONDS
        begin = max(day, row.since) if row.own else day
        settle = self._settings.trainer.watch_settle_seconds
        place = Place(row.read_until, row.read_id)
        for answer in reading.people(session, adapter, begin, place, settle=settle):
            heard.first(answer)
        return heard

    def _keep(
        self, session: Session, row: WatchedVersion, counted: Counted, now: float
    ) -> list[Alert] | None:
        """Write what was counted and what follows; None where another process was quicker."""
        query = select(WatchedVersion).where(WatchedVersion.id == row.id).with_for_update()
        kept = session.exec(query.execution_options(populate_existing=True)).one()
        if kept.revision != row.revision or periods(session)[-1].deployment != row.deployment_id:
            return None
        kept.own = counted.own
        kept.read_until, kept.read_id = counted.place.at, counted.place.id
        if counted.usual is not None and kept.usual is None:
            kept.usual = counted.usual.to_json()
        kept.measures = {name: each.state() for name, each in counted.detectors.items()}
        kept.revision += 1
        kept.updated_at = now
        session.add(kept)
        resolve_others(session, kept.id, now=now)
        alerts = [self._alert(kept, name, counted.detectors[name], now) for name in counted.alarms]
        session.add_all(alerts)
        session.flush()
        if self._settings.trainer.watch_rollback:
            watch_rollback.act(session, kept, counted.detectors[measures.TOPICS])
        return alerts

    def _alert(self, row: WatchedVersion, name: str, detector: Detector, now: float) -> Alert:
        found, posts = detector.found, self._settings.serving.webhook_url is not None
        assert found is not None, "only what has just alarmed raises an alert"
        return Alert(
            id=new_id("alr"),
            watched_id=row.id,
            adapter_id=row.adapter_id,
            measure=name,
            direction=measures.direction(found),
            harmful=measures.MEASURES[name].harmful,
            at=now,
            since=found.at,
            evidence=found.evidence,
            needed=detector.needed,
            before=asdict(found.before),
            after=asdict(found.after),
            message=measures.sentence(name, row.adapter_id, found, needed=detector.needed),
            delivery="due" if posts else "none",
            next_attempt_at=now if posts else None,
        )


def _current(session: Session) -> WatchedVersion | None:
    """The version that is live, as far as it was counted; None where nobody has begun to."""
    period = periods(session)[-1]
    query = select(WatchedVersion).where(
        WatchedVersion.project_id == PROJECT, WatchedVersion.deployment_id == period.deployment
    )
    return session.exec(query).first()


def _begun_anew(
    session: Session, row: WatchedVersion, detectors: dict[str, Detector]
) -> dict[str, Detector]:
    """Where somebody has taken note of an alert, what comes after it is watched as something new."""
    query = select(Alert.measure).where(Alert.watched_id == row.id, Alert.state == "open")
    still_open = set(session.exec(query))
    return {
        name: each.anew() if each.alarmed and name not in still_open else each
        for name, each in detectors.items()
    }


def _usual(session: Session, adapter: str, begin: float, place: Place) -> Usual | None:
    """What was usual before a place, by one answer of each person; None where too few were given."""
    found = reading.examples(session, adapter, begin, place, most=LEARNED_FROM)
    by_person = {person: (prompt, text) for person, prompt, text in found}
    if len(by_person) < LEARNED_LEAST:
        return None
    return learn(
        [prompt for prompt, _ in by_person.values()], [len(text) for _, text in by_person.values()]
    )
