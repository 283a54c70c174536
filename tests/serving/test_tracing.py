"""Spans: one per answer, by the GenAI conventions, as a collector receives them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from feedback.settings import FeedbackSettings
from serving.engines.echo import EchoEngine
from tests.serving.conftest import Server, on_sqlite, running

ROOT = Path(__file__).parents[2]
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@dataclass
class Collector:
    """What arrived at an OTLP endpoint on loopback."""

    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        """Read one delivery."""
        self.bodies.append(body)
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(plain(each.resource.attributes))
            self.spans += [span for scope in each.scope_spans for span in scope.spans]


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes as Python's values."""
    return {each.key: value(each.value) for each in attributes}


def value(sent: AnyValue) -> Any:
    """One value of whatever kind."""
    kind = sent.WhichOneof("value")
    assert kind is not None
    found = getattr(sent, kind)
    return [value(each) for each in found.values] if kind == "array_value" else found


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """An OTLP collector that the exporter is pointed at, as an operator would."""
    kept = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            import gzip

            body = self.rfile.read(int(self.headers["Content-Length"]))
            zipped = self.headers.get("Content-Encoding") == "gzip"
            kept.take(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@on_sqlite
def test_an_answer_is_a_span_below_its_callers(
    settings: FeedbackSettings, collector: Collector
) -> None:
    with running(settings, EchoEngine(delay_seconds=0.01), traces="otlp") as served:
        name = served.publish()
        assert served.promote(name).status_code == 200
        served.http.headers["X-Request-Id"] = "ticket-7"
        served.http.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
        completion_id = served.asked(
            "an apricot or two", max_tokens=3, temperature=0.5, stop="quince", user="somebody"
        )
    (span,) = collector.spans  # the probe of the swap is nobody's answer
    assert span.name == f"chat {name}"
    assert span.kind == Span.SPAN_KIND_INTERNAL
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
    # Three pauses of 10 ms; the event loop's timers go by whole milliseconds, and may be one early.
    assert span.end_time_unix_nano - span.start_time_unix_nano > 3 * 9_000_000
    found = plain(span.attributes)
    first_seconds = found.pop("gen_ai.response.time_to_first_chunk")
    assert 0.009 <= first_seconds < 60
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "heed",
        "gen_ai.request.model": name,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.max_tokens": 3,
        "gen_ai.response.id": completion_id,
        "gen_ai.response.model": name,
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 3,
        "heed.request_id": "ticket-7",
    }
    for secret in (b"apricot", b"quince", b"somebody"):
        assert secret not in b"".join(collector.bodies)
    assert collector.resources[0]["service.name"] == "heed"


@on_sqlite
def test_a_bare_text_that_is_continued_is_no_chat(
    settings: FeedbackSettings, collector: Collector
) -> None:
    with running(settings, traces="otlp") as served:
        sent = {"model": "heed", "prompt": "one two", "n": 2}
        assert served.http.post("/v1/completions", json=sent).status_code == 200
    assert [span.name for span in collector.spans] == ["text_completion base"] * 2
    for span in collector.spans:
        assert plain(span.attributes)["gen_ai.operation.name"] == "text_completion"


@on_sqlite
def test_without_a_usable_parent_an_answer_begins_its_own_trace(
    settings: FeedbackSettings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "our-chat")
    with running(settings, traces="otlp") as served:
        served.asked("hello")
        served.http.headers["traceparent"] = "nonsense"
        served.asked("hello", stream=False)
        list(
            served.http.post("/v1/chat/completions", json=body("one two", stream=True)).iter_lines()
        )
    assert [span.parent_span_id for span in collector.spans] == [b"", b"", b""]
    assert len({span.trace_id for span in collector.spans}) == 3
    assert plain(collector.spans[-1].attributes)["gen_ai.usage.output_tokens"] == 2
    assert collector.resources[0]["service.name"] == "our-chat"


@on_sqlite
def test_an_answer_that_fails_says_so_without_the_words(
    settings: FeedbackSettings, collector: Collector
) -> None:
    engine = EchoEngine(delay_seconds=0.02)
    with running(settings, engine, traces="otlp") as served:
        _fail(served, engine)
    (span,) = collector.spans
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.status.message == ""
    assert len(span.events) == 0
    found = plain(span.attributes)
    assert found["error.type"] == "unavailable"
    assert found["gen_ai.response.finish_reasons"] == ["error"]


def _fail(served: Server, engine: EchoEngine) -> None:
    sent = body("word " * 100, stream=True)
    with served.http.stream("POST", "/v1/chat/completions", json=sent) as answer:
        events = answer.iter_lines()
        next(events)
        engine._started = False
        assert "unavailable" in "".join(events)


def body(said: str, **fields: Any) -> dict[str, Any]:
    """What a client sends."""
    return {"model": "heed", "messages": [{"role": "user", "content": said}], **fields}


@on_sqlite
def test_an_absent_collector_holds_no_answer_up(
    settings: FeedbackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with running(settings, traces="otlp") as served:
        assert served.asked("hello")


@pytest.mark.parametrize(
    ("traces", "expected"),
    [("off", "served without it"), ("otlp", "`pip install 'heed[otel]'`")],
)
def test_without_the_extra_only_who_asks_for_traces_is_told(traces: str, expected: str) -> None:
    code = f"""
import sys
for name in ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.sdk.trace"):
    sys.modules[name] = None  # as where it is not installed: importing it fails
from feedback.errors import Invalid
from serving.app import create_app
from serving.engines.echo import EchoEngine
from serving.settings import load
try:
    create_app(load(serving={{"engine": "echo", "traces": {traces!r}}}), engine=EchoEngine())
    print("served without it")
except Invalid as fault:
    print(fault.param, fault.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert expected in done.stdout, done.stdout + done.stderr


def test_with_traces_off_nothing_of_the_sdk_is_imported() -> None:
    code = """
import sys
from serving.app import create_app
from serving.engines.echo import EchoEngine
from serving.settings import load
create_app(load(serving={"engine": "echo"}), engine=EchoEngine())
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exp"))])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
