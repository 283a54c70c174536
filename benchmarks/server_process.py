"""Servers as processes of their own, and chats with them: what the HTTP benchmarks share.

Knows nothing of what is measured.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks import CHECKOUT, models
from benchmarks.models import Base
from feedback.ids import new_id
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from trainer import base_folder, registry

READY_SECONDS = 180.0
VLLM_READY_SECONDS = 600.0
HEED = [sys.executable, "-P", "-c", "from serving.cli import main; main()"]
TRANSFORMERS = [sys.executable, "-P", "-m", "transformers.cli.transformers"]


@dataclass
class Heard:
    """One streamed answer; times are seconds of `time.perf_counter`."""

    begun: float
    pieces: list[float] = field(default_factory=list)
    """When each event with text arrived."""
    ended: float = 0.0
    text: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def first_seconds(self) -> float:
        """Until the first text was there."""
        return (self.pieces[0] if self.pieces else self.ended) - self.begun

    @property
    def finish_reason(self) -> str | None:
        """Why it ended."""
        choices = [choice for each in self.events for choice in each["choices"]]
        reasons = [choice.get("finish_reason") for choice in choices]  # not in every server's
        return next(filter(None, reversed(reasons)), None)

    @property
    def label(self) -> str:
        """The version that says it answered."""
        return str(self.events[0].get("system_fingerprint"))


def data_folder(base: Base, folder: Path, adapters: Sequence[Path]) -> list[str]:
    """Make a data folder with these adapters in its registry; returns their ids, the first live."""
    folder.mkdir(parents=True)
    settings = FeedbackSettings(data_dir=folder)
    store, names = Store(settings), [new_id("adp") for _ in adapters]
    schema.upgrade(store)
    digest = base_folder.base_hash(base.folder)
    with store.session(write=True) as session:
        for at, (name, source) in enumerate(zip(names, adapters, strict=True)):
            staging = folder / "staging" / name
            staging.mkdir(parents=True)
            for file in registry.FILES:
                shutil.copy(source / file, staging / file)
            made = registry.publish(
                folder,
                staging,
                adapter_id=name,
                parent_id=names[at - 1] if at else None,
                round_id="rnd_benchmark",
                base_model=str(base.folder),
                base_hash=digest,
            )
            made.round_id = None
            session.add(made)
            session.flush()
        if names:
            registry.promote(session, names[0], actor="benchmark", reason="the first")
        session.commit()
    store.close()
    return names


@contextlib.contextmanager
def heed(base: Base, folder: Path, threads: int) -> Iterator[str]:
    """``heed up`` on a data folder until the block ends; gives its URL once it is ready."""
    port = free_port()
    environment = heed_environment(base, folder, threads)
    with process([*HEED, "up", "--port", str(port), "--role", "api"], environment, folder) as up:
        url = f"http://127.0.0.1:{port}"
        wait(f"{url}/readyz", up)
        yield url


def own_environment() -> dict[str, str]:
    """The environment without any setting of Heed's, and with the checkout to import from."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HEED_")}
    path = os.pathsep.join(filter(None, [CHECKOUT, kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path}


def heed_environment(base: Base, folder: Path, threads: int) -> dict[str, str]:
    """What `heed` is told, and nothing of what surrounds the benchmark."""
    return {
        **own_environment(),
        "HEED_FEEDBACK__DATA_DIR": str(folder),
        "HEED_TRAINER__BASE_MODEL": str(base.folder),
        "HEED_SERVING__THREADS": str(threads),
    }


@contextlib.contextmanager
def transformers_serve(base: Base, threads: int, *options: str) -> Iterator[str]:
    """``transformers serve`` pinned to the base model until the block ends; gives its URL."""
    port = free_port()
    command = [*TRANSFORMERS, "serve", str(base.folder), "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    command += ["--port", str(port), "--host", "127.0.0.1", *options]
    with process(command, environment, base.folder.parent) as up:
        url = f"http://127.0.0.1:{port}"
        wait(f"{url}/health", up)
        yield url


@contextlib.contextmanager
def vllm(
    base: Base, folder: Path, *, adapter: Path, threads: int, python: Path, chats: int
) -> Iterator[str]:
    """vLLM on the CPU, eager, with an adapter under the name ``adapter``; gives its URL."""
    port = free_port()
    environment = {
        **os.environ,
        # Unbound: pinned to cores of its own it would not share them as the other side does.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("PYTHONPATH", None)  # another Python with other packages
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(base.folder), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", str(chats)]
    command += ["--enable-lora", "--max-loras", "1", "--max-lora-rank", str(models.RANK)]
    command += ["--lora-modules", f"adapter={adapter}"]
    folder.mkdir()
    with process(command, environment, folder) as up:
        url = f"http://127.0.0.1:{port}"
        wait(f"{url}/health", up, VLLM_READY_SECONDS)
        yield url


def wait(url: str, process: "subprocess.Popen[bytes]", seconds: float = READY_SECONDS) -> None:
    """Look until it answers 200; a process that ends before that is an error with its last words."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.01)
    raise RuntimeError(f"{url} did not answer (exit code {process.poll()}); see its log")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


def client(url: str) -> httpx.AsyncClient:
    """A client for as many chats at once as one likes."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(base_url=url, timeout=600, limits=limits)


async def chat(http: httpx.AsyncClient, said: str, tokens: int, model: str, **asked: Any) -> Heard:
    """Stream one answer; what is in its events is read after its end."""
    message = {"role": "user", "content": said}
    body = {"model": model, "stream": True, "max_tokens": tokens, "messages": [message]}
    body |= asked
    heard, lines = Heard(time.perf_counter()), []
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                lines.append((line[6:], time.perf_counter()))
    heard.ended = time.perf_counter()
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code} from {answer.url}")
    for line, at in lines:
        if line == "[DONE]":
            continue
        event = json.loads(line)
        if "error" in event:
            raise RuntimeError(f"{answer.url} answered {event['error']}")
        heard.events.append(event)
        piece = event["choices"][0]["delta"].get("content") if event["choices"] else None
        if piece:
            heard.text += piece
            heard.pieces.append(at)
    return heard


async def together(
    http: httpx.AsyncClient, said: Sequence[str], tokens: int, model: str, **asked: Any
) -> tuple[float, list[Heard]]:
    """All chats at once; returns the seconds until the last has ended."""
    begun = time.perf_counter()
    heard = await asyncio.gather(*(chat(http, each, tokens, model, **asked) for each in said))
    return time.perf_counter() - begun, heard


async def alternate(
    ways: Mapping[str, tuple[str, str]],
    sayings: Callable[[int], Sequence[str]],
    *,
    tokens: int,
    repeat: int,
    **asked: Any,
) -> tuple[list[dict[str, float]], dict[str, list[str]]]:
    """All chats of a repeat at once, one way after the other, in shuffled order.

    Args:
        ways: name → URL and model.
        sayings: what is said in a repeat; the one before the first warms up.
        tokens: length of every answer; a shorter one is an error.
        repeat: how often.
        asked: further fields of each request.

    Returns:
        Tokens per second of each way, a repeat each; and the texts of the last one.
    """
    rates: list[dict[str, float]] = []
    texts: dict[str, list[str]] = {}

    async def once(way: str, said: Sequence[str]) -> float:
        url, model = ways[way]
        async with client(url) as http:
            seconds, heard = await together(http, said, tokens, model, **asked)
        finished = {each.finish_reason for each in heard}
        if finished != {"length"}:
            raise RuntimeError(f"{way} ended answers early: {finished}")
        texts[way] = [each.text for each in heard]
        return len(said) * tokens / seconds

    for way in ways:  # warm: the first batch builds what the later ones use
        await once(way, sayings(0))
    for at in range(repeat):
        order = models.shuffled(list(ways), at)
        rates.append({way: await once(way, sayings(at + 1)) for way in order})
    return rates, texts


@contextlib.contextmanager
def process(
    command: Sequence[str], environment: dict[str, str], folder: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        except Exception as error:
            last = (folder / "log.txt").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{error}\nIts last words:\n{last}") from error
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
