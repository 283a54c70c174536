"""One tick that asks the database whether a round is due, and sees to the one that runs.

APScheduler lives in memory alone: its job stores cannot be shared between processes, keep pickles
and forget a job that was killed midway. What is due is derived from the rounds themselves.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from feedback import retention
from feedback.errors import Conflict, HeedError
from feedback.store import Store
from serving import watch_webhook
from serving.canary_watch import CanaryWatch
from serving.review_upkeep import ReviewUpkeep
from serving.settings import Settings
from serving.watch import Watch
from trainer import attending, lease, leftovers, pair_store, pending, registry
from trainer import round as rounds
from trainer.executors.local import LocalExecutor
from trainer.executors.warm import WarmExecutor
from trainer.models import Deployment

log = logging.getLogger("heed.scheduler")

PURGE_HOURS = 24
PURGE_AFTER_SECONDS = 60.0
NOTIFY_SECONDS = 5.0


class Scheduler:
    """Opens rounds that are due, starts their process, takes up those whose process died."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        executor = WarmExecutor if settings.trainer.warm_worker else LocalExecutor
        self._executor = executor(settings.feedback)
        self._starts: Counter[str] = Counter()
        self._timer = BackgroundScheduler(timezone="UTC")
        self._ticking = threading.Lock()
        self._reviews = ReviewUpkeep(store)
        self.canary = CanaryWatch(store, settings)
        self._watch = Watch(store, settings)
        self.enabled = False

    def prepare(self) -> None:
        """Begin what takes long before a first round, beside whatever else takes long at a start."""
        self._executor.warm_up()

    def start(self) -> None:
        """Begin to tick."""
        self.enabled = True
        self._every(self.tick, seconds=self._settings.serving.tick_seconds)
        self._every(self.watch, seconds=self._settings.serving.canary_seconds)
        self._every(self.order_reviews, seconds=self._settings.feedback.review_order_seconds)
        self._every(self.watch_live, seconds=self._settings.serving.watch_seconds)
        if self._settings.serving.webhook_url is not None:
            self._every(self.notify, seconds=NOTIFY_SECONDS)
        self._every(
            self.purge,
            hours=PURGE_HOURS,
            # Soon after a start as well: a server that is started daily would never come to it.
            next_run_time=datetime.now(UTC) + timedelta(seconds=PURGE_AFTER_SECONDS),
        )
        self._timer.start()

    def stop(self) -> None:
        """Stop ticking and end the round's process; the round itself is taken up again later."""
        if self.enabled:
            self.enabled = False
            self._timer.shutdown(wait=True)
        self._executor.stop()

    def tick(self) -> None:
        """Look once; failures are logged and the next tick tries again."""
        with self._ticking:
            try:
                self._settle()
                self._look()
            except HeedError as fault:
                log.error("%s", fault.message)

    def watch(self) -> None:
        """Weigh what people say of a canary; failures are logged, and the next time tries again."""
        try:
            self.canary.look()
        except HeedError as fault:
            log.error("%s", fault.message)

    def watch_live(self) -> None:
        """Measure the version that answers everybody; failures are logged, as above."""
        try:
            alerts = self._watch.look()
        except HeedError as fault:
            log.error("%s", fault.message)
        else:
            if alerts and self.enabled:
                self._timer.add_job(self.notify, misfire_grace_time=None)

    def notify(self) -> None:
        """Post the alerts that are due; a webhook that fails is asked again later."""
        try:
            watch_webhook.deliver(self._store, self._settings.serving)
        except HeedError as fault:
            log.error("%s", fault.message)

    def order_reviews(self) -> None:
        """Put the review queue in order; failures are logged, and the next time tries again."""
        try:
            self._reviews.look()
        except HeedError as fault:
            log.error("%s", fault.message)

    def purge(self) -> None:
        """Empty what is older than the settings keep; a failure is logged, and tomorrow tries again."""
        try:
            done = retention.purge(self._store)
            with self._store.session(write=True) as session:
                pair_store.empty(session)
                session.commit()
        except HeedError as fault:
            log.error("%s", fault.message)
        else:
            if done != retention.Purged():
                log.info(
                    "emptied %d exchanges and %d pieces of feedback that were kept long enough",
                    done.unrated + done.rated,
                    done.feedback,
                )

    def _every(self, job: Callable[[], None], **when: Any) -> None:
        """Do it again and again, never twice at once, and late rather than not at all."""
        self._timer.add_job(
            job, "interval", **when, max_instances=1, coalesce=True, misfire_grace_time=None
        )

    def _settle(self) -> None:
        """Count what reviewers said, where a round waits for it and enough have spoken."""
        with self._store.session() as session:
            if pending.current(session) is None:
                return  # nothing to be written, as nearly always
        with self._store.session(write=True) as session:
            done = pending.look(session, now_seconds=self._store.now_seconds(session))
            session.commit()
        if done is not None:
            log.info("round %s waited for reviewers, and is %s", done.id, done.state)

    def _look(self) -> None:
        if self._executor.running():
            return
        with self._store.session(write=True) as session:
            current = rounds.current(session)
            if current is None:
                if self._undecided(registry.live(session)):
                    return  # what a round learns now would not descend from the canary
                trigger = rounds.due(
                    session,
                    self._settings.trainer,
                    now_seconds=self._store.now_seconds(session),
                )
                if trigger is None:
                    return
                waited = pending.supersede(session)
                if waited is not None:
                    log.info("round %s waits no longer: the next one opens", waited.id)
                current = rounds.open(
                    session, self._settings.feedback, self._settings.trainer, trigger=trigger
                )
                log.info("round %s opened: %s", current.id, trigger)
            elif self._executor.pid is not None:
                lease.expire(self._store, session, "round", pid=self._executor.pid)
            again = attending.goes_on(
                self._store,
                session,
                current,
                starts=self._starts[current.id],
                most_attempts=self._settings.trainer.max_attempts,
                log=self._executor.log,
                killed=self._executor.killed,
            )
            session.commit()
        if again:
            self._start(current.id)
        else:
            leftovers.clear(self._store, current.id)

    def _undecided(self, deployed: Deployment | None) -> bool:
        if deployed is None or deployed.canary_id is None:
            return False
        return deployed.mode == "ab" or self._settings.trainer.canary_automatic

    def _start(self, round_id: str) -> None:
        self._starts[round_id] += 1
        try:
            self._executor.start(round_id)
        except OSError as error:
            raise Conflict(f"The process of round {round_id} did not start: {error}") from error
        log.info("round %s starts", round_id)

    def nudge(self) -> None:
        """Tick soon instead of at the next interval, where this process schedules at all."""
        if self.enabled:
            self._timer.add_job(self.tick, misfire_grace_time=None)
