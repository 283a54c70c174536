"""Swaps and canaries under real load: the local engine behind the real app, chats streaming.

Two random adapters whose greedy answers are known from PEFT's own ``generate``, so that any answer
that is late, mixed of both, or labelled with the wrong version is seen.
"""

import asyncio
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from transformers import AutoTokenizer

from feedback.settings import FeedbackSettings
from serving.engines.local import LocalEngine
from tests.serving.conftest import PATIENCE_SECONDS, Server, on_sqlite, running
from tests.serving.engines import tiny
from tests.serving.engines.asking import user

pytestmark = on_sqlite

SWAPS = 100
CLIENTS = 6
SETTLED_EVERY = 8
"""Swaps after which somebody asks and is answered before the next one begins."""
SAID = [f"{'tea ' * (1 + at % 5)}and parcel {at}?" for at in range(8)]
TOKENS = 24
"""Of every answer, unless it ends by itself: long enough that a swap happens in the middle of it."""

Texts = dict[str, dict[str, str]]
"""Adapter id → what was said → the whole answer."""


@dataclass(frozen=True)
class Seen:
    """One answer as its client saw it; times are seconds of the same clock."""

    said: str
    person: str
    completion_id: str
    labels: frozenset[str]
    text: str
    finish: str | None
    begun: float
    admitted: float
    ended: float

    @property
    def label(self) -> str:
        """The one version that every event and the header name."""
        assert len(self.labels) == 1, f"one answer names several versions: {self.labels}"
        return next(iter(self.labels))


@dataclass(frozen=True)
class Swap:
    """A promotion or rollback that was asked for, and which adapter it made live."""

    adapter: str
    begun: float
    ended: float


@dataclass(frozen=True)
class Loaded:
    """A server with two adapters, the second a child of the first, and what each answers."""

    server: Server
    old: str
    new: str
    texts: Texts


@pytest.fixture
def loaded(settings: FeedbackSettings, tmp_path: Path) -> Iterator[Loaded]:
    base = tiny.build_base(tmp_path / "base")
    engine = LocalEngine(str(base), threads=1)
    with running(settings, engine) as server:
        texts: Texts = {"base": _texts(base, None, engine)}
        names: list[str] = []
        for seed in (1, 2):
            folder = tiny.build_adapter(base, tmp_path / f"adapter{seed}", seed)
            names.append(server.publish(parent=names[-1] if names else None, peft_folder=folder))
            texts[names[-1]] = _texts(base, folder, engine)
        for said in SAID:
            assert len({texts[name][said] for name in texts}) == 3, "versions cannot be told apart"
        yield Loaded(server, old=names[0], new=names[1], texts=texts)


def test_swaps_under_streaming_load_fail_mix_and_mislabel_nothing(
    loaded: Loaded, count: int
) -> None:
    swaps = max(SWAPS, 20 * count)
    seen, made = asyncio.run(_chat_through(loaded, swaps))

    assert len(made) == swaps
    for answer in seen:
        _check(loaded, answer)
    # The load was real: versions changed under answers, and both of them answered.
    across = [
        a for a in seen if any(a.begun < swap.begun and swap.ended < a.ended for swap in made)
    ]
    assert len(across) >= swaps // 10, f"only {len(across)} answers saw a swap"
    labels = Counter(answer.label for answer in seen)
    assert min(labels[loaded.old], labels[loaded.new]) >= swaps // 10, labels
    # Nobody is given a version that was replaced before they asked.
    settled = [
        (answer, before)
        for before, after in itertools.pairwise(made)
        for answer in seen
        if before.ended < answer.begun and answer.admitted < after.begun
    ]
    assert len(settled) >= swaps // SETTLED_EVERY - 1
    for answer, before in settled:
        assert answer.label == before.adapter


def test_a_canary_keeps_its_people_answers_about_its_share_and_mixes_nothing(
    loaded: Loaded,
) -> None:
    people, share = 120, 0.3
    names = [f"person {at}" for at in range(people)]
    seen = asyncio.run(_chat_beside_a_canary(loaded, names, share))

    met: dict[str, set[str]] = defaultdict(set)
    for answer in seen:
        _check(loaded, answer)
        met[answer.person].add(answer.label)
    assert len(met) == people
    assert all(len(labels) == 1 for labels in met.values()), "somebody met both versions"
    canaries = sum(labels == {loaded.new} for labels in met.values())
    # Four standard deviations of a fair draw; the people's key is random in every run.
    slack = 4 * (share * (1 - share) / people) ** 0.5
    assert abs(canaries / people - share) < slack
    # The log tells the same story, so that a comparison by person compares what people met.
    logged: dict[str, set[str]] = defaultdict(set)
    for answer in seen:
        exchange = loaded.server.exchange(answer.completion_id)
        logged[exchange.person_id].add(exchange.adapter_id)
    assert sorted(map(sorted, logged.values())) == sorted(map(sorted, met.values()))


async def _chat_through(loaded: Loaded, swaps: int) -> tuple[list[Seen], list[Swap]]:
    """Clients chat without a pause while versions go back and forth."""
    seen: list[Seen] = []
    made: list[Swap] = []
    over = asyncio.Event()

    async with _client(loaded.server) as http:

        async def chats(number: int) -> None:
            turn = number
            while not over.is_set():
                seen.append(await _ask(http, SAID[turn % len(SAID)], f"client {number}"))
                turn += 1

        made.append(await _promote(http, loaded.old))
        clients = [asyncio.create_task(chats(number)) for number in range(CLIENTS)]
        try:
            while len(made) <= swaps:
                answered = len(seen)
                made.append(await _swap(http, loaded, len(made)))
                if len(made) % SETTLED_EVERY == 0:
                    seen.append(await _ask(http, SAID[len(made) % len(SAID)], "somebody else"))
                # Some swaps come at once after another, most of them among finished answers.
                while len(made) % 4 and len(seen) < answered + 2:
                    assert not any(task.done() for task in clients), await asyncio.gather(*clients)
                    await asyncio.sleep(0.005)
        finally:
            over.set()
            await asyncio.gather(*clients)
    return seen, made[1:]


async def _swap(http: httpx.AsyncClient, loaded: Loaded, number: int) -> Swap:
    """To the other version: a retired one loads anew, a parent is still there, a rollback flips."""
    if number % 2:
        return await _promote(http, loaded.new)
    if number % 10:
        return await _promote(http, loaded.old)
    begun = time.perf_counter()
    answer = await http.post("/v1/adapters/rollback")
    assert answer.status_code == 200, answer.text
    return Swap(loaded.old, begun, time.perf_counter())


async def _chat_beside_a_canary(loaded: Loaded, names: list[str], share: float) -> list[Seen]:
    async with _client(loaded.server) as http:
        await _promote(http, loaded.old)
        await _promote(http, loaded.new, canary_share=share)
        turns = asyncio.Semaphore(CLIENTS)

        async def one(at: int, name: str) -> Seen:
            async with turns:
                return await _ask(http, SAID[at % len(SAID)], name, max_tokens=TOKENS)

        everybody = [(at, name) for at, name in enumerate(names)]
        twice = [*everybody, *((at + 3, name) for at, name in reversed(everybody))]
        return await asyncio.gather(*(one(at, name) for at, name in twice))


async def _promote(http: httpx.AsyncClient, adapter: str, **fields: Any) -> Swap:
    begun = time.perf_counter()
    answer = await http.post(f"/v1/adapters/{adapter}/promote", json=fields)
    assert answer.status_code == 200, answer.text
    return Swap(adapter, begun, time.perf_counter())


async def _ask(
    http: httpx.AsyncClient, said: str, person: str, *, max_tokens: int = TOKENS
) -> Seen:
    """Stream one answer to its end; anything but an answer fails here."""
    body = {
        "model": "heed",
        "stream": True,
        "messages": user(said),
        "max_tokens": max_tokens,
        "user": person,
    }
    begun = time.perf_counter()
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        admitted = time.perf_counter()
        lines = [line[6:] async for line in answer.aiter_lines() if line]
        assert answer.status_code == 200, lines
    assert lines[-1] == "[DONE]", lines[-1]
    events = [json.loads(line) for line in lines[:-1]]
    assert all("error" not in event for event in events), events[-1]
    return Seen(
        said=said,
        person=person,
        completion_id=events[0]["id"],
        labels=frozenset(e["system_fingerprint"] for e in events)
        | {answer.headers["x-heed-adapter"]},
        text="".join(e["choices"][0]["delta"].get("content") or "" for e in events),
        finish=events[-1]["choices"][0]["finish_reason"],
        begun=begun,
        admitted=admitted,
        ended=time.perf_counter(),
    )


def _check(loaded: Loaded, answer: Seen) -> None:
    """The text is exactly that of the version that every label and the log name."""
    matching = {name for name, texts in loaded.texts.items() if texts[answer.said] == answer.text}
    assert matching == {answer.label}, f"{answer} is the text of {matching or 'no version'}"
    assert answer.finish in ("stop", "length")
    logged = loaded.server.exchange(answer.completion_id)
    assert logged.adapter_id == answer.label
    assert logged.choices[0]["text"] == answer.text
    assert logged.state == "complete"


def _client(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS)


def _texts(base: Path, adapter: Path | None, engine: LocalEngine) -> dict[str, str]:
    """What transformers and PEFT answer to everything that is said here, each alone."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    return {
        said: tokenizer.decode(
            tiny.alone(base, adapter, engine.prepare(user(said)).token_ids, TOKENS),
            skip_special_tokens=True,
        ).rstrip("\ufffd")
        for said in SAID
    }
