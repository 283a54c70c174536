"""The adapter of zeros that answers for the base model in vLLM."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from feedback.errors import Invalid, Unavailable
from feedback.settings import FeedbackSettings
from serving.engines import vllm_null
from serving.engines.base import BASE, Chunk, GenerationRequest, Sampling
from serving.engines.vllm import VllmEngine
from serving.engines.vllm_answer import VllmAnswer, read, send
from serving.engines.vllm_null import NullAdapter
from tests.serving.conftest import on_sqlite, running
from tests.serving.engines import tiny
from tests.serving.engines.asking import ask, begin, text_of, user
from tests.serving.engines.fake_vllm import MAX_LORAS, FakeVllm
from tests.serving.engines.reaching import Served, reaching, started, until


async def ask_bare(engine: VllmEngine, text: str, sampling: Sampling) -> list[Chunk]:
    """Ask vLLM for the base model by its own name, as the engine never does."""
    link, spell = engine._link, engine._token_bytes
    assert link is not None and spell is not None
    request = GenerationRequest("bare", engine.prepare(user(text)), BASE, sampling)
    answer = VllmAnswer(request, link.served.model, engine.context_tokens, spell)
    return [chunk async for chunk in read(answer, asyncio.create_task(send(link, answer)))]


def test_the_base_model_answers_as_it_would_without_the_null_adapter(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            for text in ("tea", "kettle", "When does the shop open?"):
                asked = Sampling(max_tokens=24, top_logprobs=2)
                ours, bare = await ask(engine, text, asked), await ask_bare(engine, text, asked)
                assert text_of(ours) == text_of(bare)
                told, expected = ([t for c in each for t in c.logprobs] for each in (ours, bare))
                assert told == expected and told, "to the last bit"

    asyncio.run(play())


def test_nothing_is_ever_asked_of_the_bare_base_model(
    fake: FakeVllm, adapters: dict[str, Path]
) -> None:
    fake.token_seconds = 0.002
    two = dict(list(adapters.items())[: MAX_LORAS - 1])  # with the null adapter they fill the slots

    async def play() -> None:
        async with started(fake, two) as engine:
            prompt = engine.prepare(user("tea")).token_ids
            many = [BASE, *two] * 3
            answers = await asyncio.gather(
                *(ask(engine, "tea", Sampling(max_tokens=20), name) for name in many)
            )
            for name, chunks in zip(many, answers, strict=True):
                assert text_of(chunks) == fake.says(prompt, two.get(name), 20)
            assert {body["model"] for body in fake.asked} == fake.adapters.keys()
            assert engine.loaded() == two.keys()
            # It is the pretended vLLM that gets it wrong, or this would prove nothing.
            fake.token_seconds = 0.02
            beside: Any = begin(engine, "tea", Sampling(), next(iter(two)))
            await anext(beside)
            bare = await ask_bare(engine, "tea", Sampling(max_tokens=5))
            assert text_of(bare) != fake.says(prompt, None, 5)
            await beside.aclose()

    asyncio.run(play())


def test_it_is_an_adapter_like_the_trainers_and_changes_nothing(
    base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    null = vllm_null.make(base, tmp_path)
    null.write()
    weights = load_file(null.folder / "adapter_model.safetensors")
    trained = load_file(adapters["adp_0001"] / "adapter_model.safetensors")
    assert len(weights) == 2 and weights.keys() <= trained.keys()
    for name, zeros in weights.items():
        rank = 1 if "lora_B" in name else 0
        assert not zeros.any() and zeros.shape[rank] == 1
        assert zeros.shape[1 - rank] == trained[name].shape[1 - rank]
    prompt = tuple(range(20, 40))
    assert tiny.alone(base, null.folder, prompt, 8) == tiny.alone(base, None, prompt, 8)


def test_its_name_stands_for_its_files_and_their_place(base: Path, tmp_path: Path) -> None:
    here, again = vllm_null.make(base, tmp_path), vllm_null.make(base, tmp_path)
    assert here == again and here.folder == tmp_path / here.name
    assert vllm_null.make(base, tmp_path / "elsewhere").name != here.name
    wider = tiny.build_base(tmp_path / "wider", hidden=128, layers=1)
    assert vllm_null.make(wider, tmp_path).name != here.name


def test_writing_mends_what_is_damaged_and_leaves_nothing_beside_it(
    base: Path, tmp_path: Path
) -> None:
    null = vllm_null.make(base, tmp_path)
    null.write()
    config, weights = (null.folder / name for name in null.files)
    untouched = config.stat().st_ino
    weights.write_bytes(weights.read_bytes()[:-4] + b"\1\1\1\1")
    null.write()
    assert weights.read_bytes() == null.files[weights.name]
    assert config.stat().st_ino == untouched
    assert sorted(null.folder.iterdir()) == [config, weights]


def test_after_a_restart_it_is_there_again_even_if_its_folder_was_lost(fake: FakeVllm) -> None:
    async def play() -> None:
        async with started(fake, watch_seconds=600.0) as engine:
            (name,) = fake.adapters
            shutil.rmtree(fake.shared)
            await asyncio.to_thread(fake.restart)
            prompt = engine.prepare(user("tea")).token_ids
            chunks = await ask(engine, "tea", Sampling(max_tokens=9))
            assert text_of(chunks) == fake.says(prompt, None, 9)
            assert list(fake.adapters) == [name]

    asyncio.run(play())


def test_where_vllm_does_not_see_the_folder_nobody_is_answered_until_it_does(
    fake: FakeVllm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unseen(null: NullAdapter) -> None:
        shutil.rmtree(null.folder, ignore_errors=True)

    async def play() -> None:
        engine = VllmEngine(str(fake.base), fake.url, fake.shared)
        async with (
            started(fake, watch_seconds=600.0) as unwatched,
            started(fake, watch_seconds=0.02) as watching,
        ):
            with monkeypatch.context() as patched:
                patched.setattr(NullAdapter, "write", unseen)
                await asyncio.to_thread(fake.restart)
                with pytest.raises(Invalid, match="under this very path"):
                    await engine.start()
                with pytest.raises(Unavailable, match="log says why") as refused:
                    await ask(unwatched, "tea", Sampling(max_tokens=4))
                assert str(fake.shared) not in refused.value.message
                assert str(fake.shared) in caplog.text
                await until(lambda: "log says why" in watching.health().detail)
                assert not watching.health().ready and not unwatched.health().ready
            await until(lambda: watching.health().ready)
            assert await ask(watching, "tea", Sampling(max_tokens=4))

    asyncio.run(play())


def test_refuses_to_start_where_it_cannot_be_written_or_made(
    fake: FakeVllm, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.write_text("a file, where a folder is wanted")
    with pytest.raises(Unavailable, match=r"cannot be written to .*full"):
        asyncio.run(VllmEngine(str(fake.base), fake.url, full).start())
    strange = shutil.copytree(fake.base, tmp_path / "strange")
    config = json.loads((strange / "config.json").read_text()) | {"model_type": "no-such-model"}
    (strange / "config.json").write_text(json.dumps(config))
    with pytest.raises(Invalid, match=r"how the base model in .*strange is built"):
        vllm_null.make(strange, tmp_path)


@on_sqlite
def test_no_client_of_heed_sees_it_or_can_ask_for_it(
    settings: FeedbackSettings, fake: FakeVllm
) -> None:
    with running(settings, VllmEngine(str(fake.base), fake.url, fake.shared)) as server:
        (name,) = fake.adapters
        assert server.chat(max_tokens=3).headers["X-Heed-Adapter"] == BASE
        for route in ("/v1/models", "/v1/adapters", "/readyz", "/healthz", "/metrics"):
            answer = server.http.get(route)
            assert answer.status_code == 200 and "null-" not in answer.text, route
        assert server.chat(model=name).status_code == 404
