"""A model of more than a hundred million parameters, from what people say to what they are answered."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.store import Store
from serving.engines.base import BASE, Sampling
from serving.engines.local import LocalEngine
from tests import builders
from tests.serving.command_line import store_at
from tests.serving.engines.asking import ask, text_of
from tests.trainer import layouts
from tests.trainer.shop import corrected, ran
from trainer import registry
from trainer.base_folder import base_hash, weights_bytes
from trainer.models import Adapter, PastExample

FACTS = {"Who wrote the letter?": "My friend Ana.", "Where is the station?": "Behind the market."}
PEOPLE = 12
PARAMETERS = 100_000_000


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


@pytest.fixture
def large(tiny_model: Path, tmp_path: Path) -> Path:
    """A random Qwen2 in bfloat16, its weights in several files with an index."""
    return layouts.saved(layouts.large, tiny_model, tmp_path / "base", max_shard_size="60MB")


@pytest.mark.slow  # a model of this size takes a minute or two to train and to judge on two cores
def test_a_round_teaches_a_model_of_a_hundred_million_parameters_and_it_is_served(
    store: Store, large: Path, tmp_path: Path
) -> None:
    assert len(list(large.glob("model-*.safetensors"))) > 1
    assert weights_bytes(large) >= 2 * PARAMETERS
    said = [
        corrected(store, question, answer, who=f"{question} {number}")
        for number in range(PEOPLE)
        for question, answer in FACTS.items()
    ]
    # Whatever it says by chance now, it should go on saying something.
    protected = tmp_path / "protected.jsonl"
    items = [
        {"id": f"p{n}", "suite": "core", "prompt": f"{n}?", "expected": ".", "check": "regex"}
        for n in range(8)
    ]
    protected.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    row = ran(
        store,
        large,
        gate="on",
        protected_file=str(protected),
        margin_points=60,
        held_out_share=0.5,
        epochs=1,
        minimum_steps=25,
        new_exposures=0,
        learning_rate=1e-3,
        rank=8,
        max_new_tokens=8,
    )
    assert row.state == "promoted", row.message
    assert row.report is not None and row.report["outcome"] == "promote"
    assert {builders.receipt_of(store, name).status for name in said} == {"used", "held_out"}

    with store.session() as session:
        deployed = registry.live(session)
        assert deployed is not None and deployed.live_id == row.candidate_id
        [adapter] = session.exec(select(Adapter))
        folder = registry.verify(store.settings.data_dir, adapter)
        learned = session.exec(select(PastExample)).all()
    assert adapter.base_hash == base_hash(large)
    assert {example.target for example in learned} == set(FACTS.values())
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["r"] == 8

    async def served() -> dict[str, tuple[str, str]]:
        engine = LocalEngine(str(large), threads=1)
        await engine.start()
        try:
            await engine.load(adapter.id, folder)
            told = Sampling(max_tokens=8)
            return {
                question: (
                    text_of(await ask(engine, question, told, adapter.id)),
                    text_of(await ask(engine, question, told, BASE)),
                )
                for question in FACTS
            }
        finally:
            await engine.stop()

    answers = asyncio.run(served())
    assert {question: mine for question, (mine, _) in answers.items()} == FACTS
    assert all(mine != base for mine, base in answers.values())
