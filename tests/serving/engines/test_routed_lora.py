import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from feedback.errors import Invalid
from serving.engines.base import Sampling
from serving.engines.local import LocalEngine
from tests.serving.engines import tiny
from tests.serving.engines.asking import ask, text_of

WEIGHTS = "adapter_model.safetensors"


def change(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    edit(weights)
    save_file(weights, folder / WEIGHTS)


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(b"\x80")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cannot be read": lambda folder: (folder / "adapter_config.json").write_text("{"),
    "does not describe a LoRA": lambda folder: tiny.rewrite_config(folder, peft_type="IA3"),
    "use_dora": lambda folder: tiny.rewrite_config(folder, use_dora=True),
    "modules_to_save": lambda folder: tiny.rewrite_config(folder, modules_to_save=["lm_head"]),
    "pickle": pickled,
    "holds no adapter_model": lambda folder: (folder / WEIGHTS).unlink(),
    "model.safetensors cannot be read": lambda f: (f / WEIGHTS).write_bytes(b"not weights"),
    "without its other half": lambda f: change(f, lambda w: w.pop(min(w))),
    "brings no weights": lambda f: change(
        f, lambda w: [w.pop(key) for key in list(w) if "layers.1.mlp.up_proj" in key]
    ),
    "has shapes": lambda f: tiny.rewrite_config(f, r=5),
    "not finite": lambda f: change(f, lambda w: w[min(w)].fill_(float("nan"))),
    "no LoRA weight": lambda f: change(
        f, lambda w: w.update({"lm_head.weight": w[min(w)].clone()})
    ),
    "no Linear named": lambda f: change(
        f,
        lambda w: w.update(
            {key.replace("layers.0", "layers.7"): weight.clone() for key, weight in w.items()}
        ),
    ),
}


@pytest.mark.parametrize("why", DAMAGES)
def test_refuses_a_bad_adapter_says_why_and_keeps_nothing_of_it(
    why: str, engine: LocalEngine, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(adapters["adp_0000"], folder)
    DAMAGES[why](folder)
    with pytest.raises(Invalid, match=why):
        asyncio.run(engine.load("adp_0666", folder))
    assert "adp_0666" not in engine.loaded()


def test_refuses_an_adapter_whose_answers_overflow(
    engine: LocalEngine, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "huge"
    shutil.copytree(adapters["adp_0000"], folder)
    change(folder, lambda weights: [weight.mul_(1e30) for weight in weights.values()])
    with pytest.raises(Invalid, match="finite"):
        asyncio.run(engine.load("adp_0666", folder))
    assert text_of(asyncio.run(ask(engine, "tea", Sampling(max_tokens=4))))


def test_honours_the_patterns_of_rank_and_alpha_and_rank_stabilised_scaling(
    engine: LocalEngine, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "patterns"
    shutil.copytree(adapters["adp_0000"], folder)
    tiny.rewrite_config(
        folder,
        r=9,
        rank_pattern={"proj$": 1, ".*_proj": 4},
        alpha_pattern={"q_proj": 3},
        use_rslora=True,
    )
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["r"] == 9
    assert engine._worker is not None
    bank = engine._worker.built.result().bank
    read = bank.read(folder)
    assert read["model.layers.0.self_attn.q_proj"].scaling == 3 / 2
    assert read["model.layers.0.mlp.up_proj"].scaling == 8 / 2
