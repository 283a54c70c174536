"""OpenTelemetry spans, one per answer, by the GenAI conventions. Knows no engine and no HTTP.

The extra ``heed[otel]`` brings what this needs; without the setting nothing of it is imported.
A span never holds a prompt, an answer, a stop string, a key or a person.
https://github.com/open-telemetry/semantic-conventions-genai (status: development) names what it does.
"""

from typing import TYPE_CHECKING, Any

from feedback.errors import Invalid
from serving.engines.base import GenerationRequest
from serving.logs import asking
from serving.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

PROVIDER = "heed"


class Answering:
    """The span of one answer being made."""

    def __init__(self, span: "Span") -> None:
        self._span = span

    def failed(self, fault: Exception) -> None:
        """Mark it failed; the fault's words stay out, since they may quote the request."""
        from opentelemetry.trace import StatusCode

        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", getattr(fault, "code", type(fault).__qualname__))

    def end(self, *, made_tokens: int, reason: str, first_token_seconds: float | None) -> None:
        """End the span with what is known now."""
        self._span.set_attribute("gen_ai.usage.output_tokens", made_tokens)
        self._span.set_attribute("gen_ai.response.finish_reasons", [reason])
        if first_token_seconds is not None:
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", first_token_seconds)
        self._span.end()


class Spans:
    """Makes spans with one provider, which is not the process's global one."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("heed")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, request: GenerationRequest) -> Answering:
        """Begin the span of an answer, below the caller's own span where it named one."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        asked, sampling = asking.get(), request.sampling
        operation = "chat" if request.chat else "text_completion"
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER,
            "gen_ai.request.model": request.adapter,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.max_tokens": sampling.max_tokens,
            "gen_ai.request.seed": sampling.seed,
            "gen_ai.request.presence_penalty": sampling.presence_penalty or None,
            "gen_ai.request.frequency_penalty": sampling.frequency_penalty or None,
            "gen_ai.response.id": request.request_id,
            "gen_ai.response.model": request.adapter,
            "gen_ai.usage.input_tokens": len(request.prompt.token_ids),
            "heed.request_id": asked.request_id if asked else None,
        }
        parent = {"traceparent": asked.traceparent} if asked and asked.traceparent else {}
        span = self._tracer.start_span(
            f"{operation} {request.adapter}",
            # An empty context: whatever else this process traces is no parent of ours.
            context=self._propagator.extract(parent, context=Context()),
            kind=SpanKind.INTERNAL,
            attributes={name: value for name, value in attributes.items() if value is not None},
        )
        return Answering(span)

    def close(self) -> None:
        """Send what is left; blocks for as long as the exporter takes."""
        self._provider.shutdown()


def spans(settings: Settings) -> Spans | None:
    """Return what the settings ask for; None where traces are off.

    The exporter is configured by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` …).

    Raises:
        Invalid: they ask for traces, and the extra is not installed.
    """
    if settings.serving.traces == "off":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        raise Invalid(
            "serving.traces needs OpenTelemetry's SDK, which is not installed: "
            "`pip install 'heed[otel]'`, or set serving.traces to `off`.",
            param="serving.traces",
        ) from missing
    named = Resource.create({"service.name": "heed"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider)
