"""What identifies a base model, how large it is, and what is said of a folder that is none."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from feedback.errors import Invalid
from feedback.store import Store
from serving.engines.base import BASE, Sampling
from serving.engines.local import LocalEngine
from tests.serving.engines.asking import ask as asked
from tests.serving.engines.asking import text_of
from tests.trainer.rounds import SKY, ask, demonstration, learn
from tests.trainer.shop import corrected, ran
from trainer import base_model
from trainer.base_folder import base_hash, resolve, weights_bytes
from trainer.policy import Policy

SHARDS = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")


def pickled(model: Path, folder: Path, *, sharded: bool = False) -> Path:
    """The same model with its weights in torch's own format."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if not sharded:
        torch.save(weights, folder / "pytorch_model.bin")
        return folder
    place = {name: SHARDS[at % 2] for at, name in enumerate(weights)}
    for shard in SHARDS:
        torch.save({n: weights[n] for n in weights if place[n] == shard}, folder / shard)
    size = sum(each.numel() * each.element_size() for each in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": place}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def swap_bytes(file: Path) -> None:
    """Another model of the same size."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def fetched(there: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a model of the hub lies once it is fetched; there it lies in a folder of this machine."""

    def snapshot_download(hub_id: str, *, allow_patterns: list[str]) -> str:
        here.mkdir(exist_ok=True)
        for file in there.iterdir():
            if any(file.match(pattern) for pattern in allow_patterns):
                shutil.copy(file, here)
        return str(here)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return resolve("owner/name")


@pytest.mark.parametrize("name", ["pytorch_model.bin", *SHARDS, "pytorch_model.bin.index.json"])
def test_weights_in_torchs_own_format_make_another_base(
    tiny_model: Path, tmp_path: Path, name: str
) -> None:
    folder = pickled(tiny_model, tmp_path / "base", sharded=name != "pytorch_model.bin")
    before = base_hash(folder)
    swap_bytes(folder / name)
    assert base_hash(folder) != before


@pytest.mark.parametrize("name", ["vocab.txt", "spiece.model", "tokenizer.model"])
def test_a_vocabulary_of_another_kind_comes_from_the_hub_and_makes_another_base(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    there = shutil.copytree(tiny_model, tmp_path / "there")
    (there / name).write_bytes(b"a\nb\n")
    folder = fetched(there, tmp_path / "here", monkeypatch)
    before = base_hash(folder)
    assert before == base_hash(there)
    (folder / name).write_bytes(b"b\na\n")
    assert base_hash(folder) != before


def test_beside_safetensors_nobody_reads_other_weights(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "base")
    before, size = base_hash(folder), weights_bytes(folder)
    assert size == (folder / "model.safetensors").stat().st_size
    for name in ("pytorch_model.bin", "training_args.bin", "pytorch_model.bin.index.json"):
        (folder / name).write_bytes(b"not read")
    assert (base_hash(folder), weights_bytes(folder)) == (before, size)


def test_the_starters_hash_is_what_it_was() -> None:
    """The digest of each file that it came with when adapters were first made on it."""
    folder = resolve("starter")
    whole = hashlib.sha256()
    for name in (
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        whole.update(name.encode() + b"\0" + hashlib.sha256((folder / name).read_bytes()).digest())
    assert base_hash(folder) == whole.hexdigest()


@pytest.mark.parametrize("sharded", [False, True])
def test_weights_in_torchs_own_format_are_as_large_as_they_are(
    tiny_model: Path, tmp_path: Path, sharded: bool
) -> None:
    folder = pickled(tiny_model, tmp_path / "base", sharded=sharded)
    stored = sum(each.numel() * 4 for each in load_file(tiny_model / "model.safetensors").values())
    assert stored < weights_bytes(folder) < 1.2 * stored


def test_a_base_in_torchs_own_format_is_trained_and_served_as_in_safetensors(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = pickled(tiny_model, tmp_path / "base", sharded=True)
    learn(folder, [demonstration(SKY, "It is green.")], tmp_path / "a", epochs=70)
    policy = Policy.load(folder, threads=1, adapters={"a": tmp_path / "a"})
    assert policy.answers([ask(SKY)], adapter="a", max_new_tokens=12) == ["It is green."]

    async def served(base: Path) -> tuple[str, str]:
        engine = LocalEngine(str(base), threads=1)
        await engine.start()
        try:
            await engine.load("adp_a", tmp_path / "a")
            told = Sampling(max_tokens=12)
            return (
                text_of(await asked(engine, SKY, told, "adp_a")),
                text_of(await asked(engine, SKY, told, BASE)),
            )
        finally:
            await engine.stop()

    answers = asyncio.run(served(folder))
    assert answers[0] == "It is green."
    assert answers == asyncio.run(served(tiny_model))


def test_a_base_that_was_swapped_after_a_round_is_noticed(
    store: Store, tiny_model: Path, tmp_path: Path
) -> None:
    folder = pickled(tiny_model, tmp_path / "base")
    corrected(store, "Is it open?", "Until six.")
    first = ran(store, folder, held_out_share=0.01)
    assert first.state == "promoted", first.message
    swap_bytes(folder / "pytorch_model.bin")
    corrected(store, "Is it closed?", "After six.", who="ben")
    second = ran(store, folder, held_out_share=0.01)
    assert second.state == "failed"
    assert "belongs to the base model" in second.message


def without(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def written(name: str, content: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_text(content)

    return spoil


def torn_bin(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"torn")


FAULTY = {
    "it has no config.json": without("config.json"),
    "it has no weights (model.safetensors or pytorch_model.bin)": without("model.safetensors"),
    "it has no tokenizer (tokenizer.json or": without("tokenizer.json", "tokenizer_config.json"),
    "its tokenizer cannot be read (KeyError": written("tokenizer.json", "{}"),
    "its config or its weights cannot be read (ValueError: Unrecognized configuration class": (
        written("config.json", '{"model_type": "vit"}')
    ),
    "its config or its weights cannot be read (SafetensorError": (
        written("model.safetensors", "torn")
    ),
    "its config or its weights cannot be read (IndexError": torn_bin,
}


@pytest.mark.parametrize("told", FAULTY)
def test_a_folder_that_is_no_model_is_told_in_one_sentence_that_names_the_setting(
    tiny_model: Path, tmp_path: Path, told: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "base")
    FAULTY[told](folder)

    def served() -> None:
        asyncio.run(LocalEngine(str(folder), threads=1).start())

    for load in (lambda: base_model.load(folder, dtype=torch.float32), served):
        with pytest.raises(Invalid) as refused:
            load()
        message = refused.value.message
        assert message.startswith(f"{folder} is not a Hugging Face causal model")
        assert told in message
        assert "trainer.base_model" in message
        assert "\n" not in message
        assert refused.value.param == "base_model"


@pytest.mark.parametrize("safe", [True, False])
def test_the_hub_is_asked_for_other_weights_only_where_there_are_no_safetensors(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe: bool
) -> None:
    there = pickled(tiny_model, tmp_path / "there")
    if safe:
        shutil.copy(tiny_model / "model.safetensors", there)

    folder = fetched(there, tmp_path / "here", monkeypatch)
    assert (folder / "model.safetensors").exists() == safe
    assert (folder / "pytorch_model.bin").exists() != safe
