"""The intake and the swap of a server, measured: they do what they did, and it is counted."""

import time
from collections import Counter
from collections.abc import Sequence

from feedback.errors import HeedError
from feedback.intake import Intake, Item, Result, Taken, Told
from feedback.settings import FeedbackSettings
from feedback.store import Store
from feedback.submission import TEACHING
from serving.engines.base import Engine
from serving.metrics import KINDS, Metrics
from serving.routing import Route, Router
from serving.swap import Swap

_KINDS = dict(zip(TEACHING, KINDS, strict=True))


class MeasuredIntake(Intake):
    """Counts feedback by kind once it is on the disk; the same event again counts nothing."""

    def __init__(self, store: Store, settings: FeedbackSettings, metrics: Metrics) -> None:
        super().__init__(store, settings)
        self._metrics = metrics

    def _stored(self, items: Sequence[Item], results: Sequence[Result]) -> None:
        self._metrics.commit_rows.observe(len(items))
        said: Counter[str] = Counter()
        for item, result in zip(items, results, strict=True):
            if isinstance(result, Taken) and not result.repeated and isinstance(item, Told):
                said.update(item.body.keys() & _KINDS.keys())
        self._metrics.said({_KINDS[field]: count for field, count in said.items()})


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
