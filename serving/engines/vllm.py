"""The engine that lets a vLLM server compute: adapters by its runtime LoRA, answers by its API.

The base model lies here too: its tokenizer renders and counts prompts, and its hash tells which
adapters belong to it. Its own answers go through an adapter of zeros. Knows nothing of the
database, of HTTP or of which adapter is live.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feedback.errors import HeedError, Invalid, NotFound, Unavailable
from serving.engines import chat_template, prompts, vllm_extras, vllm_null
from serving.engines.base import (
    BASE,
    ChatMessage,
    Chunk,
    Constraint,
    EngineHealth,
    Feature,
    GenerationRequest,
    Prompt,
)
from serving.engines.starting import greet, told
from serving.engines.token_bytes import TokenBytes
from serving.engines.vllm_answer import VllmAnswer, read, send
from serving.engines.vllm_client import VllmClient
from serving.engines.vllm_link import VllmLink
from trainer import base_folder

if TYPE_CHECKING:
    from serving.engines.structured import Structures

_NOT_RUNNING = "The engine is not running. Start it, or ask again in a moment."
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(eq=False)
class _Adapter:
    """A loaded adapter: vLLM's name for it, its answers in flight, and what wakes who waits."""

    name: str
    users: int = 0
    leaving: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class VllmEngine:
    """See `serving.engines.base.Engine`.

    Args:
        base_model: ``starter``, a folder or a hub id: what vLLM serves as well.
        url: where vLLM listens.
        shared: the folder of adapters, which vLLM has to see under the same path; the null adapter
            is written there.
        key: vLLM's ``--api-key``, if it has one.
        start_seconds: how long `start` waits for vLLM to come up.
        watch_seconds: pause between two looks at whether vLLM lives and holds every adapter.
        reconnect_seconds: how long a request waits for a vLLM that went away before its answer.
        silence_seconds: answers in flight end once vLLM has not reacted for this long.
        look_seconds: how long vLLM may take to say that it lives.
    """

    features: frozenset[Feature] = frozenset({"penalties", "logprobs", "structured", "text"})

    def __init__(
        self,
        base_model: str,
        url: str,
        shared: Path,
        key: str | None = None,
        *,
        start_seconds: float = 300.0,
        watch_seconds: float = 1.0,
        reconnect_seconds: float = 2.0,
        silence_seconds: float = 15.0,
        look_seconds: float = 5.0,
    ) -> None:
        self._base_model = base_model
        self._url, self._shared, self._key = url, shared, key
        self._start_seconds, self._look_seconds = start_seconds, look_seconds
        self._patience = {
            "watch_seconds": watch_seconds,
            "reconnect_seconds": reconnect_seconds,
            "silence_seconds": silence_seconds,
        }
        self._link: VllmLink | None = None
        self._tokenizer: Any = None
        self._token_bytes: TokenBytes | None = None
        self._structures: Structures | None = None
        self._detail = "not started"
        self._base_hash = ""
        self._adapters: dict[str, _Adapter] = {}
        self._changing = asyncio.Lock()
        self._answers: dict[asyncio.Task[None], VllmAnswer] = {}

    @property
    def base_hash(self) -> str:
        """SHA-256 of weights, config, tokenizer and template as they lie here (hex).

        Raises:
            Unavailable: the engine has not been started.
        """
        if not self._base_hash:
            raise Unavailable(_NOT_RUNNING)
        return self._base_hash

    @property
    def context_tokens(self) -> int:
        """vLLM's ``--max-model-len``: prompt and answer together.

        Raises:
            Unavailable: the engine has not been started.
        """
        return self._running().served.context_tokens

    async def start(self) -> None:
        """Wait for vLLM, make sure that it serves this base model, and let it answer once.

        Raises:
            Invalid: the base model is not here, or vLLM serves another or no adapters.
            Unavailable: vLLM did not come up in time, or the null adapter cannot be written.
        """
        if self._link is not None:
            return
        try:
            client = VllmClient(self._url, self._key, look_seconds=self._look_seconds)
            folder = await asyncio.to_thread(base_folder.resolve, self._base_model)
            self._base_hash = await asyncio.to_thread(base_folder.base_hash, folder)
            await asyncio.to_thread(self._read_tokenizer, folder)
            null = await asyncio.to_thread(vllm_null.make, folder, self._shared)
            self._link = VllmLink(
                client, self._tokenizer, null, on_silence=self._break_off, **self._patience
            )
            await self._link.open(self._start_seconds)
            await self._warm_up()
        except BaseException as error:
            await self.stop()
            self._detail = told(error, "failed to start")
            raise

    async def stop(self) -> None:
        """End everything in flight with `Unavailable`; vLLM goes on, and keeps the adapters."""
        link, self._link = self._link, None
        self._detail = "stopped"
        answers = list(self._answers)
        self._break_off(Unavailable(_NOT_RUNNING))
        await asyncio.gather(*answers, return_exceptions=True)
        for adapter in self._adapters.values():
            adapter.changed.set()
        self._adapters.clear()
        if link is not None:
            await link.close()

    def prepare(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Render a conversation and count it.

        Raises:
            Invalid: the template refuses the messages, or they leave no room in the context.
            Unavailable: the engine has not been started.
        """
        return prompts.of_chat(self._tokenizer, messages, self.context_tokens)

    def prepare_text(self, text: str) -> Prompt:
        """Tokenise a bare text that is to be continued.

        Raises:
            Invalid: it is empty, or leaves no room in the context.
            Unavailable: the engine has not been started.
        """
        return prompts.of_text(self._tokenizer, text, self.context_tokens)

    def constraint(
        self, kind: Literal["json_object", "json_schema"], schema: dict[str, Any] | None
    ) -> Constraint:
        """What an answer has to be, for vLLM to keep; the first time, its check takes a while.

        It is checked here, as for the local engine: what vLLM takes, its libraries do not always
        keep, and what costs them minutes would hold up everybody.

        Raises:
            Invalid: the schema cannot be followed; says why.
        """
        if self._structures is None:
            raise Unavailable(_NOT_RUNNING)
        self._structures.compile(kind, schema)
        return vllm_extras.constraint(kind, schema)

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        """Send the request at once and yield its answer piece by piece.

        Closing the iterator early ends it in vLLM too. Needs a running event loop.

        Raises:
            Invalid: `max_tokens` does not fit, or the request asks for what vLLM is not told.
            NotFound: the adapter is not loaded.
            Unavailable: the engine has stopped, or vLLM is away.
        """
        link = self._running()
        if not link.ready:
            raise Unavailable(link.detail)
        adapter = self._adapters.get(request.adapter)
        if request.adapter != BASE and request.adapter not in self.loaded():
            raise NotFound(f"Adapter {request.adapter} is not loaded here.", param="model")
        model = adapter.name if adapter else link.null.name
        assert self._token_bytes is not None
        answer = VllmAnswer(request, model, self.context_tokens, self._token_bytes)
        task = asyncio.create_task(send(link, answer))
        self._answers[task] = answer
        if adapter is not None:
            adapter.users += 1

        def ended(task: "asyncio.Task[None]") -> None:
            del self._answers[task]
            if adapter is not None:
                adapter.users -= 1
                adapter.changed.set()
            answer.end(task)

        task.add_done_callback(ended)
        return read(answer, task)

    async def load(self, adapter_id: str, folder: Path) -> None:
        """Make an adapter available beside those already there; a second call is a no-op.

        Raises:
            Invalid: the folder is no adapter, or vLLM refuses it; says why.
            Unavailable: the engine has stopped, or vLLM is away.
        """
        link = self._running()
        async with self._changing:
            known = self._adapters.get(adapter_id)
            if known is None or not link.holds(known.name):
                # The name stands for these files and no others, so vLLM never changes what it
                # means, and another Heed on the same vLLM finds them there.
                name = f"{adapter_id}-{(await asyncio.to_thread(_digest, folder))[:12]}"
                await link.load(name, folder.absolute())
                known = self._adapters[adapter_id] = _Adapter(name)
            known.leaving = False
            known.changed.set()

    async def unload(self, adapter_id: str) -> None:
        """Let an adapter go once its last request has ended; unknown ids are a no-op."""
        adapter = self._adapters.get(adapter_id)
        if adapter is None:
            return
        adapter.leaving = True
        while adapter.leaving and adapter.users:
            adapter.changed.clear()
            await adapter.changed.wait()
        async with self._changing:
            if adapter.leaving and self._adapters.get(adapter_id) is adapter:
                del self._adapters[adapter_id]
                if self._link is not None:
                    await self._link.unload(adapter.name)

    def loaded(self) -> frozenset[str]:
        """Ids of the adapters that can answer now, ``base`` not among them."""
        if (link := self._link) is None:
            return frozenset()
        return frozenset(
            adapter_id
            for adapter_id, each in self._adapters.items()
            if not each.leaving and link.holds(each.name)
        )

    def health(self) -> EngineHealth:
        """What the last look at vLLM found; cheap, never blocks."""
        if self._link is None:
            return EngineHealth(False, self._detail)
        return EngineHealth(self._link.ready, self._link.detail, running=len(self._answers))

    def _read_tokenizer(self, folder: Path) -> None:
        from serving.engines.structured import Structures

        self._tokenizer = chat_template.load_tokenizer(folder)
        self._token_bytes = TokenBytes(self._tokenizer)
        end = self._tokenizer.eos_token_id
        self._structures = Structures(self._tokenizer, [] if end is None else [end])

    def _running(self) -> VllmLink:
        if self._link is None:
            raise Unavailable(_NOT_RUNNING)
        return self._link

    def _break_off(self, fault: HeedError) -> None:
        for task, answer in self._answers.items():
            answer.fault = Unavailable(fault.message)
            task.cancel()

    async def _warm_up(self) -> None:
        try:
            await greet(self)
        except Invalid as error:
            raise Invalid(
                f"vLLM at {self._url} cannot answer a greeting: {error.message}",
                param="base_model",
            ) from error


def _digest(folder: Path) -> str:
    """SHA-256 over an adapter's files (hex)."""
    whole = hashlib.sha256()
    for name in _ADAPTER_FILES:
        try:
            with (folder / name).open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise Invalid(f"{folder.name} is no adapter: it holds no {name}.") from error
    return whole.hexdigest()
