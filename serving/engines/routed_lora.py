"""Many LoRA adapters on one model, each row of a batch through its own (torch).

The low-rank path is added to a Linear's output by a forward hook: no module is replaced, no adapter
is ever "active", and adding or removing one cannot change what another row computes. Knows nothing
of requests, threads or tokens.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from feedback.errors import Invalid
from serving.engines.base import BASE

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_UNSUPPORTED = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
)
"""Settings of PEFT that change the forward pass into something other than x·Aᵀ·Bᵀ·scaling."""


@dataclass(frozen=True)
class LowRank:
    """One Linear's update: `down` is (in, r), `up` is (r, out); their product times `scaling`."""

    down: Tensor
    up: Tensor
    scaling: float


Adapter = dict[str, LowRank]
"""Module name → update."""


class AdapterBank:
    """The adapters of one model, and which rows of the next forward pass go through which.

    Args:
        model: its Linear modules can be targets.
    """

    def __init__(self, model: nn.Module) -> None:
        self._linears = {n: m for n, m in model.named_modules() if _wide_and_high(m)}
        self._routed: dict[str, _Routed] = {}
        self._routes = _Routes(next(model.parameters()).device)

    def read(self, folder: Path) -> Adapter:
        """Read a PEFT LoRA folder and check it against the model; changes nothing.

        Safe on any thread, while others compute.

        Raises:
            Invalid: it is no LoRA adapter, it holds pickle, or it does not fit; says why.
        """
        config = _read_config(folder)
        pairs = _read_pairs(folder)
        adapter = {name: self._fit(folder, name, pair, config) for name, pair in pairs.items()}
        if not adapter:
            raise _refused(folder, "it holds no LoRA weights")
        _check_complete(folder, config, self._linears, adapter)
        return adapter

    def add(self, adapter_id: str, adapter: Adapter) -> None:
        """Make an adapter available to `route`; call between forward passes."""
        for name, update in adapter.items():
            if name not in self._routed:
                self._routed[name] = _Routed(self._linears[name], self._routes)
            self._routed[name].updates[adapter_id] = update

    def remove(self, adapter_id: str) -> None:
        """Forget an adapter; call between forward passes. Unknown ids are a no-op."""
        for name, routed in list(self._routed.items()):
            routed.updates.pop(adapter_id, None)
            if not routed.updates:
                routed.hook.remove()
                del self._routed[name]

    def route(self, adapter_ids: Sequence[str]) -> None:
        """Say which adapter each row of the next forward passes goes through, ``base`` for none."""
        self._routes.set(adapter_ids)

    def _fit(self, folder: Path, name: str, pair: dict[str, Tensor], config: Any) -> LowRank:
        linear = self._linears.get(name)
        if linear is None:
            raise _refused(folder, f"the base model has no Linear named {name}")
        if set(pair) != {"A", "B"}:
            raise _refused(folder, f"{name} has lora_{min(pair)} without its other half")
        a, b, rank = pair["A"], pair["B"], _pattern(config, "rank_pattern", "r", name)
        wide, high = _wide_and_high(linear)
        expected = (rank, wide), (high, rank)
        if (tuple(a.shape), tuple(b.shape)) != expected:
            raise _refused(
                folder,
                f"{name} has shapes {tuple(a.shape)} and {tuple(b.shape)}, and this base model "
                f"needs {expected[0]} and {expected[1]}",
            )
        if not (a.isfinite().all() and b.isfinite().all()):
            raise _refused(folder, f"{name} holds weights that are not finite")
        alpha = _pattern(config, "alpha_pattern", "lora_alpha", name)
        scaling = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        # In the type and on the device of the base weights, laid out for x @ down @ up.
        weight: Any = linear.weight
        a, b = a.to(weight), b.to(weight)
        return LowRank(a.t().contiguous(), b.t().contiguous(), scaling)


class _Routes:
    """Adapter id → indices of its rows; None stands for all rows of the batch."""

    def __init__(self, device: torch.device) -> None:
        self.rows = 0
        self._device = device
        self.parts: list[tuple[str, Tensor | None]] = []
        self._set: list[str] | None = None

    def set(self, adapter_ids: Sequence[str]) -> None:
        if adapter_ids == self._set:
            return
        self._set, self.rows = list(adapter_ids), len(adapter_ids)
        rows: dict[str, list[int]] = {}
        for row, adapter_id in enumerate(adapter_ids):
            rows.setdefault(adapter_id, []).append(row)
        rows.pop(BASE, None)
        self.parts = [
            (
                adapter_id,
                None if len(mine) == self.rows else torch.tensor(mine, device=self._device),
            )
            for adapter_id, mine in rows.items()
        ]


class _Routed:
    """One Linear with the updates of all adapters that target it."""

    def __init__(self, linear: nn.Module, routes: _Routes) -> None:
        self.updates: dict[str, LowRank] = {}
        self._routes = routes
        self.hook = linear.register_forward_hook(self._add)

    def _add(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        x = args[0]
        if x.dim() != 3 or x.shape[0] != self._routes.rows:
            raise RuntimeError(f"the rows of {tuple(x.shape)} cannot be told apart by adapter")
        for adapter_id, rows in self._routes.parts:
            update = self.updates.get(adapter_id)
            if update is None:
                continue
            if rows is None:
                flat = output.view(-1, output.shape[-1])
                down = x.reshape(-1, x.shape[-1]) @ update.down
                flat.addmm_(down, update.up, alpha=update.scaling)
            else:
                delta = x.index_select(0, rows) @ update.down @ update.up
                output.index_add_(0, rows, delta, alpha=update.scaling)


def _wide_and_high(module: nn.Module) -> tuple[int, ...]:
    """In and out of a linear layer, GPT-2's transposed kind included; empty for others."""
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return tuple(module.weight.shape) if isinstance(module, Conv1D) else ()


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / _CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise _refused(folder, f"{_CONFIG} cannot be read ({error})") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise _refused(folder, f"{_CONFIG} does not describe a LoRA adapter")
    unsupported = [name for name in _UNSUPPORTED if config.get(name)]
    if config.get("bias", "none") != "none":
        unsupported.append("bias")
    if unsupported:
        raise _refused(folder, f"it uses {', '.join(unsupported)}, which Heed does not serve")
    if not all(isinstance(config.get(key), int | float) for key in ("r", "lora_alpha")):
        raise _refused(folder, f"{_CONFIG} lacks r or lora_alpha")
    return config


def _read_pairs(folder: Path) -> dict[str, dict[str, Tensor]]:
    if not (folder / _WEIGHTS).is_file():
        pickled = " (adapter_model.bin is pickle, which can run code, and is never read)"
        there = (folder / "adapter_model.bin").exists()
        raise _refused(folder, f"it holds no {_WEIGHTS}{pickled if there else ''}")
    try:
        weights = load_file(folder / _WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise _refused(folder, f"{_WEIGHTS} cannot be read ({error})") from error
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, weight in weights.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise _refused(folder, f"it holds {key}, which is no LoRA weight of a Linear")
        pairs.setdefault(match["module"], {})[match["side"]] = weight
    return pairs


def _check_complete(
    folder: Path, config: dict[str, Any], linears: dict[str, nn.Module], adapter: Adapter
) -> None:
    """Refuse a file that lost some of its layers; only a plain list of targets can tell."""
    targets = config.get("target_modules")
    if not isinstance(targets, list) or config.get("layers_to_transform") is not None:
        return
    excluded = config.get("exclude_modules") or []
    for name in linears:
        wanted = any(name == target or name.endswith(f".{target}") for target in targets)
        spared = not isinstance(excluded, list) or any(name.endswith(part) for part in excluded)
        if wanted and not spared and name not in adapter:
            raise _refused(folder, f"its config targets {name}, and it brings no weights for it")


def _pattern(config: dict[str, Any], patterns: str, default: str, name: str) -> Any:
    """PEFT's rule: the first pattern that matches the end of the module's name, else the default."""
    for pattern, number in (config.get(patterns) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return number
    return config[default]


def _refused(folder: Path, why: str) -> Invalid:
    return Invalid(f"{folder.name} is no adapter for this base model: {why}.", param="adapter")
