"""The engine that computes in this process, many people's answers together (torch, once started).

A thread of its own decodes (`worker`, `opening`); this is its face towards asyncio, with the chat
template and the limits. Knows nothing of HTTP, of the database or of which adapter is live.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedback.errors import HeedError, Invalid, Unavailable
from serving.engines import chat_template, limits, prompts
from serving.engines.answer import Answer
from serving.engines.base import (
    BASE,
    Batching,
    ChatMessage,
    Chunk,
    Constraint,
    ConstraintKind,
    EngineHealth,
    Feature,
    GenerationRequest,
    Prompt,
    Sampling,
)
from serving.engines.reading import Reading
from serving.engines.starting import greet, told
from serving.engines.text_stream import TextStream
from serving.engines.token_bytes import TokenBytes
from serving.engines.worker import Worker
from trainer import base_folder

if TYPE_CHECKING:
    from serving.engines.decoder import Decoder
    from serving.engines.structured import Structures

_NOT_RUNNING = "The engine is not running. Start it, or ask again in a moment."
_FEATURES: frozenset[Feature] = frozenset({"penalties", "logprobs", "structured", "text"})


class LocalEngine:
    """See `serving.engines.base.Engine`.

    Args:
        base_model: ``starter``, a folder or a hub id.
        threads: CPU threads; by default the cores this process may use.
        max_batch: answers in flight at once; more wait.
        dtype: name of the torch dtype of weights and cache.
        max_batch_tokens: bounds the memory for keys and values; see `Worker`.
        batching: ``continuous`` falls back to ``static`` by itself; see `opening`.
    """

    def __init__(
        self,
        base_model: str,
        *,
        threads: int | None = None,
        max_batch: int = 32,
        dtype: str = "float32",
        max_batch_tokens: int = 65_536,
        batching: Batching = "continuous",
    ) -> None:
        self._base_model = base_model
        self._threads = threads
        self._dtype = dtype
        self._wanted = batching
        self._batching: Batching | None = None
        self._limits = {"max_batch": max_batch, "max_batch_tokens": max_batch_tokens}
        self._worker: Worker | None = None
        self._detail = "not started"
        self._tokenizer: Any = None
        self._token_bytes: TokenBytes | None = None
        self._structures: Structures | None = None
        self._features: frozenset[Feature] = frozenset()
        self._base_hash = ""
        self._context_tokens = 0
        self._end_tokens: frozenset[int] = frozenset()

    @property
    def base_hash(self) -> str:
        """SHA-256 of weights, config, tokenizer and template (hex).

        Raises:
            Unavailable: the engine has not been started.
        """
        if not self._base_hash:
            raise Unavailable(_NOT_RUNNING)
        return self._base_hash

    @property
    def features(self) -> frozenset[Feature]:
        """What it does beyond the protocol; tools where the chat template speaks of them."""
        return self._features

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together may not exceed this many tokens; else as `base_hash`."""
        if not self._context_tokens:
            raise Unavailable(_NOT_RUNNING)
        return self._context_tokens

    async def start(self) -> None:
        """Load and warm up; returns once a first answer has been made.

        Raises:
            Invalid: the base model cannot be loaded; says which path or id, and what to do.
        """
        if self._worker is not None:
            return
        # Read when torch loads. Threads that spin while they wait starve a round of training, or
        # anything else, on the same cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        self._detail = "loading the base model"
        try:
            folder = await asyncio.to_thread(base_folder.resolve, self._base_model)
            worker = Worker(partial(self._build, folder), **self._limits)
            self._worker = worker
            worker.start()
            decoder = await asyncio.wrap_future(worker.built)
            self._end_tokens |= decoder.end_tokens
            self._context_tokens = limits.context_tokens(
                decoder.context_tokens, self._tokenizer.model_max_length
            )
            from serving.engines.structured import Structures

            self._structures = Structures(self._tokenizer, self._end_tokens)
            await self._warm_up(folder)
            self._batching = decoder.batching
        except BaseException as error:
            await self.stop()
            self._detail = told(error, "failed to start")
            raise
        why = decoder.reason
        self._detail = "ready" if why is None else f"ready; static batches, since {why}"

    async def stop(self) -> None:
        """Let go of everything; requests in flight end with `Unavailable`."""
        worker, self._worker = self._worker, None
        self._detail, self._batching = "stopped", None
        if worker is not None:
            worker.stop()
            await asyncio.to_thread(worker.join)

    def prepare(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Render a conversation and count it.

        Raises:
            Invalid: the template refuses the messages, or they leave no room in the context.
        """
        return prompts.of_chat(self._tokenizer, messages, self.context_tokens)

    def prepare_with_tools(
        self, messages: Sequence[ChatMessage], tools: Sequence[dict[str, Any]]
    ) -> Prompt:
        """Render a conversation in which the model may call tools; see `prepare`."""
        return prompts.of_chat_with_tools(self._tokenizer, messages, tools, self.context_tokens)

    def prepare_text(self, text: str) -> Prompt:
        """Tokenise a bare text that is to be continued.

        Raises:
            Invalid: it is empty, or leaves no room in the context.
        """
        return prompts.of_text(self._tokenizer, text, self.context_tokens)

    def constraint(self, kind: ConstraintKind, schema: dict[str, Any] | None) -> Constraint:
        """What one answer has to follow; compiling may take a while the first time.

        Raises:
            Invalid: the schema cannot be followed; says why.
        """
        self._running_worker()
        assert self._structures is not None
        return self._structures.compile(kind, schema).matcher()

    def room(self, prompt: Prompt) -> int:
        """Tokens that are left for the answer."""
        return limits.answer_tokens(prompt, Sampling(), self.context_tokens)

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        """Queue the request at once and yield its answer piece by piece.

        Closing the iterator early frees the request's place. Needs a running event loop.

        Raises:
            Invalid: `max_tokens` is more than the context has left, or less than one.
            NotFound: the adapter is not loaded.
            Unavailable: the engine has stopped or its worker died.
        """
        worker = self._running_worker()
        answer = Answer(
            prompt=request.prompt.token_ids,
            adapter=request.adapter,
            sampling=request.sampling,
            max_tokens=limits.answer_tokens(request.prompt, request.sampling, self.context_tokens),
            end_tokens=self._end_tokens,
            text=TextStream(self._decode, request.sampling.stop),
            loop=asyncio.get_running_loop(),
            token_bytes=self._token_bytes,
        )
        worker.submit(answer)
        return Reading(answer.queue, partial(worker.cancel, answer))

    async def load(self, adapter_id: str, folder: Path) -> None:
        """Make an adapter available beside those already there; a second call is a no-op.

        Raises:
            Invalid: the folder is no adapter for this base model; says why.
            Unavailable: the engine has stopped.
        """
        worker = self._running_worker()
        if adapter_id in worker.loaded():
            return
        bank = worker.built.result().bank
        # Reading and checking happen beside the answers in flight; only the rest between steps.
        adapter = await asyncio.to_thread(bank.read, folder)

        def adopt(decoder: "Decoder") -> None:
            decoder.adopt(adapter_id, adapter)

        await asyncio.wrap_future(worker.load(adapter_id, adopt))

    async def unload(self, adapter_id: str) -> None:
        """Let an adapter go once its last request has ended; unknown ids are a no-op."""
        if self._worker is not None and adapter_id != BASE:
            await asyncio.wrap_future(self._worker.unload(adapter_id))

    def loaded(self) -> frozenset[str]:
        """Ids of the adapters that can answer now, ``base`` not among them."""
        return self._worker.loaded() if self._worker is not None else frozenset()

    def health(self) -> EngineHealth:
        """A look from outside the worker; cheap, never blocks."""
        worker = self._worker
        if worker is None or self._batching is None:
            return EngineHealth(False, self._detail)
        if not worker.alive:
            return EngineHealth(False, "the worker has died; restart the server")
        return EngineHealth(True, self._detail, worker.running, worker.waiting, self._batching)

    def _build(self, folder: Path) -> "Decoder":
        """Everything slow about starting, on the worker's thread."""
        from serving.engines.opening import open_decoder

        base_folder.check(folder)
        self._base_hash = base_folder.base_hash(folder)
        self._tokenizer = chat_template.load_tokenizer(folder)
        self._token_bytes = TokenBytes(self._tokenizer)
        self._features = _FEATURES
        if chat_template.takes_tools(self._tokenizer):
            self._features |= {"tools"}
        end = self._tokenizer.eos_token_id
        self._end_tokens = frozenset() if end is None else frozenset([end])
        threads = base_folder.threads(self._threads)
        return open_decoder(folder, threads=threads, dtype=self._dtype, batching=self._wanted)

    async def _warm_up(self, folder: Path) -> None:
        try:
            await greet(self)
        except HeedError as error:
            raise Invalid(
                f"The base model in {folder} cannot answer a greeting: {error.message}",
                param="base_model",
            ) from error

    def _running_worker(self) -> Worker:
        if self._worker is None or not self._worker.built.done():
            raise Unavailable(_NOT_RUNNING)
        return self._worker

    def _decode(self, token_ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text
