"""The intake and the swap of a server, measured: they do what they did, and it is counted."""

import time
from concurrent.futures import Future

from feedback.errors import HeedError
from feedback.intake import Intake, Taken, Told
from feedback.settings import FeedbackSettings
from feedback.store import Store
from feedback.submission import TEACHING
from serving.engines.base import Engine
from serving.metrics import KINDS, Metrics
from serving.routing import Route, Router
from serving.swap import Swap


class MeasuredIntake(Intake):
    """Counts feedback by kind once it is on the disk; the same event again counts nothing."""

    def __init__(self, store: Store, settings: FeedbackSettings, metrics: Metrics) -> None:
        super().__init__(store, settings)
        self._metrics = metrics

    def submit(self, told: Told) -> "Future[Taken]":
        """As `Intake.submit`."""
        future = super().submit(told)
        kinds = [
            kind
            for kind, field in zip(KINDS, TEACHING, strict=True)
            if getattr(told.submission, field) is not None
        ]

        def count(done: "Future[Taken]") -> None:
            if done.exception() is None and not done.result().repeated:
                self._metrics.said(kinds)

        future.add_done_callback(count)
        return future


class MeasuredSwap(Swap):
    """Times each swap from noticing the deployment to having flipped."""

    def __init__(
        self, store: Store, engine: Engine, router: Router, replica_id: str, metrics: Metrics
    ) -> None:
        super().__init__(store, engine, router, replica_id)
        self._metrics = metrics
        self._counted_generation = router.route.generation

    async def sync(self) -> Route:
        """As `Swap.sync`."""
        began = time.perf_counter()
        try:
            route = await super().sync()
        except HeedError:
            self._metrics.swap_failures.inc()
            raise
        # Of several that waited for one swap, the first to return is the one that did it.
        if route.generation > self._counted_generation:
            self._counted_generation = route.generation
            self._metrics.swap_seconds.observe(time.perf_counter() - began)
        return route
