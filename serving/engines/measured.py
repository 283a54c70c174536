"""Any engine, measured: the answers pass through unchanged. Knows no HTTP and no engine by name.

Everything but `generate` is the engine's own, so what the protocol gains needs no change here.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

from serving.engines.base import Chunk, Engine, GenerationRequest, close
from serving.metrics import Metrics
from serving.tracing import Spans


class Measured:
    """An engine around another one; see `serving.engines.base.Engine`.

    Args:
        engine: what answers; `inner` gives it back.
        metrics: where it is counted.
        spans: where each answer becomes a span, if anywhere.
    """

    def __init__(self, engine: Engine, metrics: Metrics, spans: Spans | None = None) -> None:
        self.inner = engine
        self._metrics = metrics
        self._spans = spans

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        """As the engine; what it refuses is raised as it is, and is no answer that ended."""
        began = time.perf_counter()
        return self._measure(request, self.inner.generate(request), began)

    async def _measure(
        self, request: GenerationRequest, answer: AsyncIterator[Chunk], began: float
    ) -> AsyncIterator[Chunk]:
        metrics, made, last, reason = self._metrics, 0, began, "abort"
        span = self._spans.begin(request) if self._spans is not None else None
        first_seconds: float | None = None
        metrics.prompt_tokens.inc(len(request.prompt.token_ids))
        try:
            async for chunk in answer:
                new = chunk.completion_tokens - made
                if new > 0:
                    now = time.perf_counter()
                    if made:
                        for _ in range(new):
                            metrics.next_token_seconds.observe((now - last) / new)
                    else:
                        first_seconds = now - began
                        metrics.first_token_seconds.observe(first_seconds)
                    metrics.generation_tokens.inc(new)
                    made, last = chunk.completion_tokens, now
                if chunk.finish_reason is not None:
                    reason = "abort" if chunk.finish_reason == "cancelled" else chunk.finish_reason
                yield chunk
        except Exception as fault:
            reason = "error"
            if span is not None:
                span.failed(fault)
            raise
        finally:
            metrics.ended(reason, time.perf_counter() - began)
            if span is not None:
                span.end(made_tokens=made, reason=reason, first_token_seconds=first_seconds)
            # A reader that left must free its place now, not when the collector comes by.
            await close(answer)
