"""Goes only part of the way from the previous adapter to the new one.

Weights between two fine-tuned models keep most of what was learned and lose less of what was known
(Wortsman et al., 2022, "Robust fine-tuning of zero-shot models"). The interpolation is over the
product BA, which is what the model sees, and not over B and A, whose product would not be linear in
the share. The result is factored again to the same rank by its singular values, the best
approximation of that rank there is (Eckart and Young, 1936).
"""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from feedback.errors import Invalid

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def interpolate(previous: Path | None, new: Path, *, share: float) -> None:
    """Rewrite the adapter in `new` as ``(1 - share) * previous + share * new``.

    Args:
        previous: PEFT folder of the adapter that `new` continued; None for the base model.
        new: PEFT folder; its weights are replaced.
        share: how much of the way is gone, in (0, 1]; 1 changes nothing.

    Raises:
        Invalid: the two adapters do not have the same modules and shapes, they scale their product
            differently, or the adapter is no product (DoRA).
    """
    if share == 1:
        return
    ours = load_file(new / WEIGHTS)
    _check_products(previous, new, ours)
    theirs = load_file(previous / WEIGHTS) if previous is not None else None
    if theirs is not None and {name: each.shape for name, each in theirs.items()} != {
        name: each.shape for name, each in ours.items()
    }:
        raise Invalid(f"The adapters in {previous} and {new} have other modules or shapes.")
    for name_a in [name for name in ours if ".lora_A." in name]:
        name_b = name_a.replace(".lora_A.", ".lora_B.")
        if theirs is None:
            ours[name_b] = ours[name_b] * share
            continue
        ours[name_a], ours[name_b] = _factored(
            torch.cat([theirs[name_a], ours[name_a]]),
            torch.cat([(1 - share) * theirs[name_b], share * ours[name_b]], dim=1),
            rank=ours[name_a].shape[0],
        )
    staging = new / f"{WEIGHTS}.part"
    save_file({name: each.contiguous() for name, each in ours.items()}, staging, {"format": "pt"})
    os.replace(staging, new / WEIGHTS)


def _check_products(previous: Path | None, new: Path, ours: dict[str, torch.Tensor]) -> None:
    if any("magnitude" in name for name in ours):
        raise Invalid(
            f"The adapter in {new} is a DoRA adapter, which is no product BA and cannot be "
            "interpolated. Set trainer.step_share to 1.",
            param="step_share",
        )
    if previous is not None and _scaling(previous) != _scaling(new):
        raise Invalid(f"The adapters in {previous} and {new} scale their product differently.")


def _scaling(folder: Path) -> list[object]:
    """What PEFT multiplies BA with is made from these; alike everywhere where there is no config."""
    path = folder / CONFIG
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    names = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
    return [said.get(name) or None for name in names]


def _factored(a: torch.Tensor, b: torch.Tensor, *, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors (rank x in, out x rank) nearest to ``b @ a``, evenly scaled."""
    q_b, r_b = torch.linalg.qr(b.double())
    q_a, r_a = torch.linalg.qr(a.double().T)
    u, values, v = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    roots = values[:rank].sqrt()
    new_b = (q_b @ u[:, :rank]) * roots
    new_a = roots[:, None] * (v[:rank] @ q_a.T)
    # A matrix smaller than the rank has fewer values than the adapter has rows.
    missing = rank - len(roots)
    new_a = torch.nn.functional.pad(new_a, (0, 0, 0, missing))
    new_b = torch.nn.functional.pad(new_b, (0, missing))
    return new_a.to(a.dtype), new_b.to(b.dtype)
