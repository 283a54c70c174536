"""What Heed counts and how long things take, for Prometheus. Knows no HTTP and changes nothing.

Names are vLLM's with ``heed_`` for ``vllm:`` where vLLM has a twin, buckets and labels included, so
that its dashboards and alerts need one replacement. Each application has a registry of its own.
No series is named by a person, a key or a prompt; adapters appear only while they are loaded.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlmodel import Session, col, func, select

from feedback.errors import HeedError
from feedback.models import Receipt
from feedback.settings import PROJECT
from feedback.store import Store
from feedback.submission import TEACHING
from serving import watch_shown
from serving.canary_watch import CanaryWatch
from serving.engines.base import Engine
from serving.routing import MODEL, Route, Router
from trainer import registry as adapters
from trainer.models import Round
from trainer.settings import TrainerSettings

FIRST_TOKEN_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
NEXT_TOKEN_SECONDS = (
    # vLLM begins at 10 ms; a small model makes a token in one.
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
ANSWER_SECONDS = (
    *(0.05, 0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
SWAP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
COMMIT_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
ROUND_STATES = ("open", "pending", "promoted", "refused", "abstained", "failed", "cancelled")
KINDS = tuple("preference" if name == "preferred_over" else name for name in TEACHING)
"""What feedback may say; one piece may say several of these, and counts for each."""
_LABELS = ("model_name",)


class Metrics:
    """The instruments of one application; `registry` holds them all."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.first_token_seconds = self._histogram(
            "heed_time_to_first_token_seconds",
            "From the engine's taking of a request to its first token.",
            FIRST_TOKEN_SECONDS,
        )
        self.next_token_seconds = self._histogram(
            "heed_inter_token_latency_seconds",
            "Between two tokens of one answer; tokens that arrive together share the time.",
            NEXT_TOKEN_SECONDS,
        )
        self.answer_seconds = self._histogram(
            "heed_e2e_request_latency_seconds",
            "From the engine's taking of a request to the end of its answer, however it ended.",
            ANSWER_SECONDS,
        )
        self.prompt_tokens = self._counter("heed_prompt_tokens", "Tokens of prompts taken.")
        self.generation_tokens = self._counter("heed_generation_tokens", "Tokens made.")
        self.requests = Counter(
            "heed_request_success",
            "Answers that ended, by reason: stop, length, abort (the reader left), error.",
            (*_LABELS, "finished_reason"),
            registry=self.registry,
        )
        self.swap_seconds = Histogram(
            "heed_swap_seconds",
            "From noticing another deployment to the flip: load, verify, probe, acknowledge.",
            buckets=SWAP_SECONDS,
            registry=self.registry,
        )
        self.swap_failures = Counter(
            "heed_swap_failures",
            "Attempts at a swap that failed; the version before went on answering.",
            registry=self.registry,
        )
        self.feedback = Counter(
            "heed_feedback", "Feedback taken in, by kind.", ("kind",), registry=self.registry
        )
        self.unlogged = Counter(
            "heed_unlogged_answers",
            "Answers given though they could not be logged (serving.unlogged).",
            registry=self.registry,
        )
        self.batch_lines = Counter(
            "heed_feedback_batch_lines",
            "Lines of feedback batches, by result: taken, repeated, refused.",
            ("result",),
            registry=self.registry,
        )
        self.commit_rows = Histogram(
            "heed_intake_commit_rows",
            "Exchanges and feedback that shared one commit, and so one fsync.",
            buckets=COMMIT_ROWS,
            registry=self.registry,
        )
        self.http_requests = Counter(
            "heed_http_requests",
            "HTTP requests answered, by route and status.",
            ("method", "handler", "status"),
            registry=self.registry,
        )
        for reason in ("stop", "length", "abort", "error"):  # a rate needs its zero
            self.requests.labels(MODEL, reason)
        for kind in KINDS:
            self.feedback.labels(kind)
        for result in ("taken", "repeated", "refused"):
            self.batch_lines.labels(result)

    def ended(self, reason: str, seconds: float) -> None:
        """Count an answer that ended."""
        self.answer_seconds.observe(seconds)
        self.requests.labels(MODEL, reason).inc()

    def said(self, counts: Mapping[str, int]) -> None:
        """Count feedback that is on the disk, by kind."""
        for kind, count in counts.items():
            self.feedback.labels(kind).inc(count)

    def answered(self, method: str, handler: str, status: int) -> None:
        """Count one HTTP request; `handler` is the route and never the path."""
        self.http_requests.labels(method, handler, str(status)).inc()

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
        made = Histogram(name, about, _LABELS, buckets=buckets, registry=self.registry)
        return made.labels(MODEL)

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(name, about, _LABELS, registry=self.registry).labels(MODEL)


class Readings(Collector):
    """What is read at the moment of a scrape: the engine, the route and the database.

    Each query counts along an index or over a table of few rows. Where the database is away, the
    rest is still told, and ``heed_store_up`` is 0.
    """

    def __init__(
        self,
        engine: Engine,
        router: Router,
        store: Store,
        settings: TrainerSettings,
        canary: CanaryWatch,
    ) -> None:
        self._engine = engine
        self._router = router
        self._store = store
        self._settings = settings
        self._canary = canary

    def collect(self) -> Iterator[Metric]:
        """Yield every reading; called by the registry."""
        health = self._engine.health()
        yield _gauge("heed_num_requests_running", "Answers being made.", health.running)
        yield _gauge("heed_num_requests_waiting", "Requests waiting for room.", health.waiting)
        yield _plain("heed_engine_up", "1 while the engine can answer.", float(health.ready))
        route, loaded = self._router.route, self._engine.loaded()
        yield _plain("heed_live_generation", "Deployment served here.", route.generation)
        yield _plain("heed_adapters_loaded", "Adapter versions in memory here.", len(loaded))
        versions = GaugeMetricFamily(
            "heed_adapter_info",
            "Every version that can answer here: live, canary, or only loaded.",
            labels=("adapter", "role"),
        )
        for adapter in sorted(loaded | {route.live}):
            role = {route.live: "live", route.canary: "canary"}.get(adapter, "loaded")
            versions.add_metric((adapter, role), 1)
        yield versions
        yield from self._second(route)
        try:
            with self._store.session() as session:
                found = [*_counted(session), *watch_shown.gauges(session, self._settings)]
        except HeedError:
            yield _plain("heed_store_up", "1 while the database answers.", 0)
            return
        yield _plain("heed_store_up", "1 while the database answers.", 1)
        yield from found

    def _second(self, route: Route) -> Iterator[GaugeMetricFamily]:
        """The version beside the live one, and what the process that watches it knows of the two."""
        share = GaugeMetricFamily(
            "heed_canary_share",
            "Share of people whom a second version answers; none while one answers all.",
            labels=("adapter",),
        )
        labels = ("adapter", "stream")
        pairs = GaugeMetricFamily("heed_canary_pairs", "Comparisons so far.", labels=labels)
        worse = GaugeMetricFamily(
            "heed_canary_evidence", "Largest e-value so far that it is worse.", labels=labels
        )
        if route.canary is not None:
            share.add_metric((route.canary,), route.canary_share)
            for name, stream in self._canary.streams(route.canary).items():
                pairs.add_metric((route.canary, name), stream.pairs)
                worse.add_metric((route.canary, name), stream.evidence)
        yield from (share, pairs, worse)


def _counted(session: Session) -> Iterator[GaugeMetricFamily]:
    deployed = adapters.live(session)
    yield _plain(
        "heed_deployed_generation",
        "Deployment that every replica should serve.",
        deployed.generation if deployed else 0,
    )
    waiting = session.exec(
        select(func.count())
        .select_from(Receipt)
        .where(Receipt.project_id == PROJECT, Receipt.status == "review")
    ).one()
    yield _plain("heed_review_queue_length", "Feedback that waits for a reviewer.", waiting)
    query = select(Round.state, func.count()).where(Round.project_id == PROJECT)
    states = dict.fromkeys(ROUND_STATES, 0) | dict(
        session.exec(query.group_by(col(Round.state))).all()
    )
    rounds = GaugeMetricFamily("heed_rounds", "Rounds so far, by state.", labels=("state",))
    for state, count in states.items():
        rounds.add_metric((state,), count)
    yield rounds


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=_LABELS)
    family.add_metric((MODEL,), value)
    return family


def _plain(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
