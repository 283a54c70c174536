"""A server that behaves as vLLM 0.32 does towards Heed, without a model; its answers are arithmetic.

Real HTTP on loopback, real tokens of a real tokenizer. What it says depends on the prompt, the seed
and the files of the adapter that was loaded under the name, so that answers of two versions differ.
It forgets its adapters when it restarts, dies with its connections open, and can freeze. As vLLM's
kernels for the CPU do, it confuses whoever asks for the bare base model beside answers by adapters.
"""

import asyncio
import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from safetensors.numpy import load_file
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

MODEL = "the-base"
MAX_LORA_RANK = 16
MAX_LORAS = 3
PATIENCE_SECONDS = 60.0


class FakeVllm:
    """One server, on one port for all its lives.

    Args:
        base: folder of the base model that it pretends to serve.
        key: what it was given as ``--api-key``.
        runtime_lora: whether VLLM_ALLOW_RUNTIME_LORA_UPDATING was set.
        token_seconds: how long a token takes.
        context_tokens: its ``--max-model-len``.

    Attributes:
        shared: the folder of adapters that Heed and it see under the same path.
        adapters: name → path of what is loaded in this life.
        asked: body of every completion, in order.
        loads: body of every load, in order.
        broken_off: answers whose client went away before their end.
        running: answers being given.
        frozen: nothing is answered any more, and no connection closed.
        dead_engine: its computing half has died, and its HTTP half says so.
        abort_answers: end answers as vLLM does when it shuts down in an orderly way.
        script: pieces of text to say instead of its own.
    """

    def __init__(
        self,
        base: Path,
        *,
        key: str | None = None,
        runtime_lora: bool = True,
        token_seconds: float = 0.0,
        context_tokens: int = 256,
    ) -> None:
        self.base = base
        self.shared = base.parent / "shared"
        self.key = key
        self.runtime_lora = runtime_lora
        self.token_seconds = token_seconds
        self.context_tokens = context_tokens
        self.tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self.end = int(json.loads((base / "config.json").read_text())["eos_token_id"])
        self.adapters: dict[str, str] = {}
        self.flavours: dict[str, str] = {}
        self._slots: dict[str, int] = {}
        self._in_slots = [""] * MAX_LORAS
        self._by_adapter = 0
        self.asked: list[dict[str, Any]] = []
        self.loads: list[dict[str, Any]] = []
        self.broken_off = self.running = 0
        self.frozen = self.dead_engine = self.abort_answers = False
        self.script: list[str] = []
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            self.port = door.getsockname()[1]
        self._app = self._routes()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "FakeVllm":
        """Begin a life that knows no adapters."""
        self.adapters, self.flavours, self.running = {}, {}, 0
        self._slots, self._in_slots, self._by_adapter = {}, [""] * MAX_LORAS, 0
        config = uvicorn.Config(
            self._guarded,
            port=self.port,
            log_config=None,
            ws="none",
            lifespan="off",
            interface="asgi3",
        )
        server = self._server = uvicorn.Server(config)

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await server.serve()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        until = time.monotonic() + PATIENCE_SECONDS
        while not server.started:
            assert time.monotonic() < until and self._thread.is_alive(), "the fake did not start"
            time.sleep(0.005)
        return self

    def die(self) -> None:
        """As after SIGKILL: every connection is cut in the middle of whatever it carries."""
        server, thread, loop = self._server, self._thread, self._loop
        if server is None or thread is None or loop is None:
            return

        def cut() -> None:
            for listening in server.servers:
                listening.close()
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            server.force_exit = server.should_exit = True

        loop.call_soon_threadsafe(cut)
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the fake did not die"
        self._server = self._thread = self._loop = None

    def restart(self) -> None:
        """Die, and come back without any adapter."""
        self.die()
        self.start()

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What stands before every route: a freeze, and the key."""
        while self.frozen:
            await asyncio.sleep(0.01)
        right = Headers(scope=scope).get("authorization") == f"Bearer {self.key}"
        if self.key and not right and scope["path"].startswith("/v1"):
            await JSONResponse({"error": "Unauthorized"}, 401)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _routes(self) -> FastAPI:
        app = FastAPI()

        @app.get("/health")
        async def health() -> Response:
            return Response(status_code=503 if self.dead_engine else 200)

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            base = {
                "id": MODEL,
                "root": str(self.base),
                "parent": None,
                "max_model_len": self.context_tokens,
            }
            loaded = [
                {"id": name, "root": path, "parent": MODEL, "max_model_len": None}
                for name, path in self.adapters.items()
            ]
            return {"object": "list", "data": [base, *loaded]}

        @app.post("/tokenize")
        async def tokenize(request: Request) -> dict[str, Any]:
            body = await request.json()
            special = body.get("add_special_tokens", True)
            ids = self.tokenizer.encode(body["prompt"], add_special_tokens=special).ids
            return {"count": len(ids), "max_model_len": self.context_tokens, "tokens": ids}

        if self.runtime_lora:
            app.post("/v1/load_lora_adapter")(self._load)
            app.post("/v1/unload_lora_adapter")(self._unload)
        app.post("/v1/completions")(self._complete)
        return app

    async def _load(self, request: Request) -> Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        self.loads.append(body)
        if not body.get("load_inplace") and name in self.adapters:
            return _fault(
                400,
                "InvalidUserInput",
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True.",
            )
        config = Path(path) / "adapter_config.json"
        if not config.is_file():
            said = f"Loading lora {name} failed: No adapter found for {path}"
            return _fault(404, "NotFoundError", said)
        rank = json.loads(config.read_text())["r"]
        if rank > MAX_LORA_RANK:
            said = f"LoRA rank {rank} is greater than max_lora_rank {MAX_LORA_RANK}."
            return _fault(500, "InternalServerError", said)
        self.flavours[name] = _flavour(Path(path))
        self.adapters[name] = path
        self._slots.pop(name, None)  # what was loaded under it before was another to vLLM
        self._activate(name)
        return Response(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if not name:
            said = "'lora_name' needs to be provided to unload a LoRA adapter."
            return _fault(400, "InvalidUserInput", said)
        if name not in self.adapters:
            said = f"The lora adapter '{name}' cannot be found."
            return _fault(404, "NotFoundError", said)
        del self.adapters[name]
        return Response(f"Success: LoRA adapter '{name}' removed successfully.")

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        model = body["model"]
        if model != MODEL and model not in self.adapters:
            said = f"The model `{model}` does not exist."
            return _fault(404, "NotFoundError", said, "model")
        if len(body["prompt"]) + body["max_tokens"] > self.context_tokens:
            said = f"This model's maximum context length is {self.context_tokens} tokens."
            return _fault(400, "BadRequestError", said, "max_tokens")
        wanted = body.get("response_format") or {"type": "text"}
        if wanted["type"] == "json_schema" and "schema" not in wanted.get("json_schema", {}):
            said = "When response_format type is 'json_schema', the 'json_schema' field is needed."
            return _fault(400, "BadRequestError", said, "response_format")
        assert body["stream"] and body["stream_options"]["continuous_usage_stats"]
        # Looked up at admission: an adapter that is unloaded meanwhile goes on to the end.
        tokens = self.tokens(body, self.flavours.get(model, ""))
        if model != MODEL:
            self._activate(model)
        return StreamingResponse(self._stream(body, tokens), media_type="text/event-stream")

    def _activate(self, name: str) -> None:
        """Into a free slot or the one that was unused longest; letting go empties no slot."""
        if name in self._slots:
            at = self._slots.pop(name)
        elif free := set(range(MAX_LORAS)) - set(self._slots.values()):
            at = min(free)
        else:
            at = self._slots.pop(next(iter(self._slots)))
        self._slots[name] = at
        self._in_slots[at] = self.flavours[name]

    def says(self, prompt: Sequence[int], adapter: Path | None, max_tokens: int) -> str:
        """The whole greedy answer, for comparison."""
        flavour = _flavour(adapter) if adapter else ""
        body = {"prompt": list(prompt), "temperature": 0, "max_tokens": max_tokens}
        decoder = DecodeStream(skip_special_tokens=True)
        tokens = self.tokens(body, flavour)
        return "".join(self._spell(decoder, token, at) for at, token in enumerate(tokens, start=1))

    def tokens(self, body: dict[str, Any], flavour: str) -> list[int]:
        """What it says: an end token after a while, or `max_tokens` of others."""
        seed = body.get("seed") if body["temperature"] else None
        if body["temperature"] and seed is None:
            seed = random.random()
        chance = random.Random(f"{flavour}|{body['prompt']}|{seed}")
        vocabulary = self.tokenizer.get_vocab_size()
        if wanted := body.get("response_format"):
            said = json.dumps(_instance(wanted.get("json_schema", {}).get("schema", {})))
            return [*self.tokenizer.encode(said).ids, self.end][: body["max_tokens"]]
        wanted = [chance.randrange(16, vocabulary) for _ in range(body["max_tokens"])]
        if body["max_tokens"] > 100:
            wanted[100:] = [self.end]
        return wanted

    def logprobs(self, body: dict[str, Any], token: int) -> dict[str, Any] | None:
        """As vLLM tells them: the chosen token first, then the likeliest, itself among them or not.

        The likeliest token here is always the one after the chosen one, in number.
        """
        if (top := body.get("logprobs")) is None:
            return None
        assert body["return_tokens_as_token_ids"], "spelled out, two tokens can look alike"
        others = {f"token_id:{token + 1 + at}": -0.25 - at for at in range(top)}
        name = f"token_id:{token}"
        return {
            "tokens": [name],
            "token_logprobs": [-0.5],
            "top_logprobs": [{name: -0.5, **others}],
            "text_offset": [0],
        }

    def _spell(self, decoder: DecodeStream, token: int, made: int) -> str:
        if self.script:
            return self.script[(made - 1) % len(self.script)]
        return decoder.step(self.tokenizer, token) or ""

    async def _stream(self, body: dict[str, Any], tokens: list[int]) -> AsyncIterator[bytes]:
        decoder, text, shown, made = DecodeStream(skip_special_tokens=True), "", 0, 0
        held = max((len(stop) - 1 for stop in body["stop"]), default=0)
        ended, bare = False, body["model"] == MODEL
        self.running += 1
        self._by_adapter += not bare
        try:
            for at, right in enumerate(tokens):
                await asyncio.sleep(self.token_seconds)
                while self.frozen:
                    await asyncio.sleep(0.01)
                made += 1
                # Slot -1 of a row without an adapter is looked up as Python would: the last one.
                mixed = bare and self._by_adapter
                token = self.tokens(body, self._in_slots[-1])[at] if mixed else right
                text += self._spell(decoder, token, made)
                found = [at for stop in body["stop"] if (at := text.find(stop)) >= 0]
                reason = "stop" if found or token == self.end else None
                reason = reason or ("length" if made == len(tokens) else None)
                if self.abort_answers:
                    reason = "abort"
                upto = min(found) if found else len(text) - (0 if reason else held)
                new, shown = text[shown : max(shown, upto)], max(shown, upto)
                usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": made}
                choice = {
                    "index": 0,
                    "text": new,
                    "logprobs": self.logprobs(body, token),
                    "finish_reason": reason,
                    "stop_reason": body["stop"][0] if found else None,
                }
                yield _event({"choices": [choice], "usage": usage})
                if reason:
                    break
            yield _event({"choices": [], "usage": usage})
            yield b"data: [DONE]\n\n"
            ended = True
        finally:
            self.running -= 1
            self._by_adapter -= not bare
            self.broken_off += not ended


def _instance(schema: dict[str, Any]) -> Any:
    """The first value that comes to mind for a simple schema."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "boolean":
        return True
    return {name: _instance(schema["properties"][name]) for name in schema.get("required", [])}


def _flavour(adapter: Path) -> str:
    if not any(
        tensor.any() for tensor in load_file(adapter / "adapter_model.safetensors").values()
    ):
        return ""
    return hashlib.sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def _event(body: dict[str, Any]) -> bytes:
    # As pydantic writes it: nothing escaped, U+2028 neither.
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _fault(status: int, kind: str, said: str, param: str | None = None) -> JSONResponse:
    error = {"message": said, "type": kind, "param": param, "code": status}
    return JSONResponse({"error": error}, status)
