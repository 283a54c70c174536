"""Interpolation goes part of the way, over the product of the factors."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from feedback.errors import Invalid
from trainer.interpolation import WEIGHTS, interpolate

A, B = "base_model.model.q_proj.lora_A.weight", "base_model.model.q_proj.lora_B.weight"


def adapter(folder: Path, seed: int, *, rank: int = 3, wide: int = 7, high: int = 5) -> Path:
    """A folder with one random adapter."""
    folder.mkdir()
    draw = torch.Generator().manual_seed(seed)
    weights = {
        A: torch.randn(rank, wide, generator=draw),
        B: torch.randn(high, rank, generator=draw),
    }
    save_file(weights, folder / WEIGHTS)
    return folder


def product(folder: Path) -> torch.Tensor:
    """What the model sees of an adapter."""
    weights = load_file(folder / WEIGHTS)
    seen: torch.Tensor = weights[B] @ weights[A]
    return seen


def test_goes_part_of_the_way_from_the_base(tmp_path: Path) -> None:
    new = adapter(tmp_path / "new", 1)
    before = product(new)
    interpolate(None, new, share=0.8)
    torch.testing.assert_close(product(new), 0.8 * before)


def test_is_exact_where_the_rank_can_hold_both(tmp_path: Path) -> None:
    old, new = (adapter(tmp_path / name, seed, rank=6) for name, seed in (("old", 1), ("new", 2)))
    wanted = 0.3 * product(old) + 0.7 * product(new)
    interpolate(old, new, share=0.7)
    torch.testing.assert_close(product(new), wanted)


def test_is_the_nearest_of_its_rank_otherwise(tmp_path: Path) -> None:
    old, new = adapter(tmp_path / "old", 1), adapter(tmp_path / "new", 2)
    wanted = 0.3 * product(old) + 0.7 * product(new)
    interpolate(old, new, share=0.7)
    u, values, v = torch.linalg.svd(wanted)
    nearest = u[:, :3] * values[:3] @ v[:3]
    torch.testing.assert_close(product(new), nearest, atol=1e-5, rtol=1e-5)


def test_all_of_the_way_changes_no_byte(tmp_path: Path) -> None:
    old, new = adapter(tmp_path / "old", 1), adapter(tmp_path / "new", 2)
    before = (new / WEIGHTS).read_bytes()
    interpolate(old, new, share=1)
    assert (new / WEIGHTS).read_bytes() == before


def test_refuses_adapters_of_other_shapes(tmp_path: Path) -> None:
    old, new = adapter(tmp_path / "old", 1, rank=2), adapter(tmp_path / "new", 2)
    with pytest.raises(Invalid, match="shapes"):
        interpolate(old, new, share=0.5)
