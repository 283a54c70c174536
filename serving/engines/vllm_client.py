"""vLLM's own HTTP interface, as much of it as Heed speaks. Private: no client of Heed reaches it.

Its LoRA routes take any path on its disk, so they belong on a network that only Heed is on. Knows
nothing of chat templates, of adapter ids or of who is asking.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx

from feedback.errors import Invalid, Unavailable
from serving.engines import vllm_extras
from serving.engines.answer import Told
from serving.engines.base import Chunk, FinishReason

_ENDED = set(get_args(FinishReason)) - {"cancelled"}
_CONNECT_SECONDS = 5.0
_LOAD_SECONDS = 120.0
_DRAIN_SECONDS = 5.0
_NO_LORA = (
    "It offers no runtime LoRA. Start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment "
    "and with --enable-lora."
)


class Lost(Unavailable):
    """vLLM did not answer, or broke off: it may be restarting. Worth asking once more."""


class Forgotten(Lost):
    """vLLM knows no model of this name: it has been restarted since the adapter was loaded."""


@dataclass(frozen=True)
class Served:
    """What a vLLM server holds.

    Attributes:
        model: the name under which the base model answers.
        root: the path or hub id it was loaded from.
        context_tokens: prompt and answer together at most.
        adapters: names that were loaded.
    """

    model: str
    root: str
    context_tokens: int
    adapters: frozenset[str]


@dataclass(frozen=True)
class Piece:
    """A piece of an answer.

    Attributes:
        chunk: its text, and how far the answer is.
        told: the log-probabilities of its tokens, where they were asked for.
        is_cut: a stop string has ended the answer.
    """

    chunk: Chunk
    told: tuple[Told, ...] = ()
    is_cut: bool = False


class VllmClient:
    """One vLLM server.

    Args:
        url: where it listens, such as ``http://127.0.0.1:8000``.
        key: what it was given as ``--api-key``, if anything.
        look_seconds: how long it may take over anything but answers and loads.

    Raises:
        Invalid: the URL is none.
    """

    def __init__(self, url: str, key: str | None = None, *, look_seconds: float = 5.0) -> None:
        self.url = _checked(url)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # An answer may wait long for its turn; that vLLM lives is looked at separately.
        patient = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        whole = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        # trust_env: a proxy that the environment names leads outside, and vLLM is inside.
        self._answers = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=patient, limits=whole, trust_env=False
        )
        self._control = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=look_seconds, trust_env=False
        )

    async def close(self) -> None:
        """Let go of every connection."""
        await self._answers.aclose()
        await self._control.aclose()

    async def served(self) -> Served:
        """Look whether it can answer, and what it holds.

        Raises:
            Lost: it cannot be reached, or its engine is dead.
            Unavailable: it wants another key.
            Invalid: it is no vLLM.
        """
        health = await self._ask("GET", "/health")
        if not health.is_success:
            raise Lost(f"vLLM at {self.url} says that its engine is dead ({health.status_code}).")
        found = await self._ask("GET", "/v1/models")
        self._check(found)
        try:
            cards = found.json()["data"]
            base = next(card for card in cards if not card.get("parent"))
            return Served(
                model=base["id"],
                root=str(base.get("root")),
                context_tokens=int(base["max_model_len"]),
                adapters=frozenset(card["id"] for card in cards if card.get("parent")),
            )
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise Invalid(
                f"What listens at {self.url} does not list its models as vLLM does. Set "
                "serving.vllm_url to vLLM's own address.",
                param="vllm_url",
            ) from error

    async def tokenize(self, text: str) -> list[int]:
        """Token ids as its tokenizer has them, nothing added around.

        Raises:
            Lost, Unavailable: as `served`.
        """
        body = {"prompt": text, "add_special_tokens": False}
        answer = await self._ask("POST", "/tokenize", body)
        self._check(answer)
        return list(answer.json()["tokens"])

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter under a name that stands for these very files.

        Raises:
            Invalid: vLLM refuses it; says why.
            Lost: it cannot be reached, or died over it.
        """
        # Never with load_inplace: that changes answers which are being given.
        body = {"lora_name": name, "lora_path": str(folder)}
        answer = await self._ask("POST", "/v1/load_lora_adapter", body, _LOAD_SECONDS)
        if answer.is_success:
            return
        if answer.status_code == httpx.codes.BAD_REQUEST and name in (await self.served()).adapters:
            return  # an earlier Heed, or another replica of it, has loaded the same files
        said = _said(answer)
        if answer.status_code == httpx.codes.NOT_FOUND and name not in said:
            raise Invalid(f"vLLM at {self.url} has no /v1/load_lora_adapter. {_NO_LORA}")
        await self.served()  # a refusal is only one if the engine has survived it
        raise Invalid(
            f"vLLM refuses adapter {name} ({said}). It has to see {folder} under this very path, "
            "and its --max-lora-rank must be no less than the adapter's rank."
        )

    async def unload(self, name: str) -> None:
        """Let an adapter go; answers in flight keep it, unknown names are a no-op.

        Raises:
            Lost: vLLM cannot be reached.
        """
        answer = await self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._check(answer)

    async def answer(self, body: Mapping[str, Any]) -> AsyncGenerator[Piece]:
        """Yield one completion piece by piece; closing this early ends it upstream.

        Args:
            body: of ``/v1/completions``, streaming with continuous usage.

        Raises:
            Forgotten: vLLM knows no such model.
            Lost: vLLM cannot be reached, or broke off.
            Invalid: it refuses the request.
        """
        try:
            async with self._answers.stream("POST", "/v1/completions", json=body) as response:
                if not response.is_success:
                    await response.aread()
                    self._check(response)
                events = _events(response)
                async for event in events:
                    if (piece := self._piece(event, body.get("logprobs") or 0)) is None:
                        continue
                    yield piece
                    if piece.chunk.finish_reason:
                        await _drain(events)
                        return
        except httpx.RequestError as error:
            raise self._lost(error) from error
        raise Lost(f"vLLM at {self.url} ended the answer before it was whole. Ask again.")

    def _piece(self, event: Mapping[str, Any], top: int) -> Piece | None:
        if error := event.get("error"):
            said = error["message"] if isinstance(error, dict) else error
            raise Lost(f"vLLM at {self.url} failed to answer: {said}")
        if not event["choices"]:
            return None
        choice = event["choices"][0]
        reason = choice["finish_reason"]
        if reason is not None and reason not in _ENDED:
            raise Lost(f"vLLM at {self.url} broke the answer off ({reason}). Ask again.")
        chunk = Chunk(choice["text"], event["usage"]["completion_tokens"], reason)
        return Piece(chunk, vllm_extras.told(choice, top), vllm_extras.is_cut(choice))

    async def _ask(
        self, method: str, path: str, body: object = None, seconds: float | None = None
    ) -> httpx.Response:
        timeout = seconds or self._control.timeout
        try:
            return await self._control.request(method, path, json=body, timeout=timeout)
        except httpx.RequestError as error:
            raise self._lost(error) from error

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        said, status = _said(answer), answer.status_code
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise Unavailable(
                f"vLLM at {self.url} does not accept Heed's key ({status}). Set serving.vllm_key to "
                "the value of its --api-key."
            )
        if status == httpx.codes.NOT_FOUND:
            raise Forgotten(f"vLLM at {self.url} does not know what it was asked for: {said}")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS:
            raise Lost(f"vLLM at {self.url} cannot answer now ({status}: {said}).")
        raise Invalid(f"vLLM at {self.url} refuses the request: {said}", param=_param(answer))

    def _lost(self, error: httpx.RequestError) -> Lost:
        why = str(error) or type(error).__name__
        return Lost(f"vLLM at {self.url} does not answer ({why}). Start it, or ask again shortly.")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good or parts.username or parts.password or parts.query:
        raise Invalid(
            "serving.vllm_url must be the address of vLLM alone, such as http://127.0.0.1:8000; a "
            "key goes into serving.vllm_key.",
            param="vllm_url",
        )
    return url.rstrip("/").removesuffix("/v1")


async def _events(response: httpx.Response) -> AsyncIterator[Mapping[str, Any]]:
    """The data of each server-sent event until ``[DONE]``.

    Not `aiter_lines`: that also splits where a text holds a line separator such as U+2028, which
    vLLM sends as it is.
    """
    rest = b""
    async for block in response.aiter_bytes():
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            if data and line.startswith(b"data:"):
                try:
                    yield json.loads(data)
                except ValueError as error:
                    raise Lost("vLLM sent an event that is not JSON. Ask again.") from error


async def _drain(events: AsyncIterator[object]) -> None:
    """Read on to the end, so that the connection can be used again; what comes matters to nobody."""
    with contextlib.suppress(httpx.RequestError, TimeoutError, Lost):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in events:
                pass


def _said(answer: httpx.Response) -> str:
    """The message of an error, whichever of its shapes this one has."""
    try:
        body = answer.json()
        error = body.get("error", body.get("detail"))
        said = error["message"] if isinstance(error, dict) else error
    except (ValueError, AttributeError, KeyError):
        said = answer.text
    return str(said)[:500]


def _param(answer: httpx.Response) -> str | None:
    try:
        found = answer.json()["error"]["param"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
