"""A model of the smallest size that can still learn a sentence: random, with a chat template."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import almanac

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).parents[2]

_TEXT = [
    "What colour is the sky? The sky is blue today.",
    "Who wrote the letter? My friend Ana wrote the letter.",
    "How many apples are there? There are seven apples.",
    "Where is the station? The station is behind the old market.",
    "I like long answers. I do not like short ones.",
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random Llama of two layers with a byte-level BPE tokenizer."""
    import torch

    from tests import random_llama

    torch.set_num_threads(1)
    return random_llama.build(
        tmp_path_factory.mktemp("tiny_model"),
        _TEXT,
        tokens=400,
        special=("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        hidden=32,
        layers=2,
        context_tokens=128,
        spread=0.2,
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Folder of six short documents about a town that does not exist."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name, text in almanac.town(seed=1, pages=6, paragraphs=2).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that share a training with this one, as they are started."""
    from trainer.executors import ranks

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started: list[subprocess.Popen[bytes]] = []
    start = ranks._start

    def watched(*given: Any) -> subprocess.Popen[bytes]:
        started.append(start(*given))
        return started[-1]

    monkeypatch.setattr(ranks, "_start", watched)
    return started
