"""A LoRA adapter as a folder of exactly two files: how it starts, is read and is written.

Knows no training and no registry. Only safetensors are read: PEFT would also unpickle.
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from feedback.errors import Invalid
from trainer import layers
from trainer.settings import Plan

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def fresh(model: Any, plan: Plan) -> Any:
    """The model with a new adapter on all linear layers but the head, which changes nothing yet.

    Of LoRA's variants those are offered whose adapter is at home on the unchanged base model, so
    that rounds can continue it and engines can serve it beside others: rsLoRA (Kalajdzievski 2023,
    https://arxiv.org/abs/2312.03732) and, for experiments, DoRA (Liu et al. 2024,
    https://arxiv.org/abs/2402.09353). PiSSA and OLoRA start from a base model from which they have
    taken the adapter away: such an adapter is nothing without that other base, or has twice the
    rank once it is converted.

    Raises:
        Invalid: only some layers are to learn, and they cannot be told apart.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(plan.seed)
    config = LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        target_modules=_targets(model, plan),
        task_type="CAUSAL_LM",
        fan_in_fan_out=layers.transposed(model),
        use_rslora=plan.lora_variant == "rslora",
        use_dora=plan.lora_variant == "dora",
    )
    with _quiet():
        return get_peft_model(model, config)


def resume(model: Any, folder: Path, *, dropout: float) -> Any:
    """The model with the folder's adapter, ready to be trained further; rank and alpha stay.

    Raises:
        Invalid: the folder lacks a file.
    """
    from peft import PeftConfig, PeftModel

    check(folder)
    config = PeftConfig.from_pretrained(str(folder))
    config.lora_dropout = dropout
    config.inference_mode = False
    with _quiet():
        return PeftModel.from_pretrained(model, str(folder), config=config, is_trainable=True)


def learn_on_top(model: Any, share: float) -> None:
    """Let the adapter's weights in the top `share` of the layers learn, and no others.

    A fresh adapter has no others; a parent's stay as they are below.

    Raises:
        Invalid: the layers cannot be told apart, or the adapter has no weights up there.
    """
    if share < 1:
        count = len(layers.blocks(model)[1])
        layers.train_from(model, layers.first_trained(count, share))


def attach(model: Any, folder: Path, name: str) -> Any:
    """The model with one more frozen adapter, under a name of its own.

    Args:
        model: a base model, or a PEFT model that has adapters already.
        folder: the adapter.
        name: what `set_adapter` will call it.

    Raises:
        Invalid: the folder lacks a file.
    """
    from peft import PeftModel

    check(folder)
    with _quiet():
        if not isinstance(model, PeftModel):
            return PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()
        model.load_adapter(str(folder), adapter_name=name)
    return model.eval()


def check(folder: Path) -> None:
    """Refuse a folder in which PEFT would start to search.

    Raises:
        Invalid: the folder lacks a file.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise Invalid(f"The adapter in {folder.name} lacks {name}.")


def write(model: Any, out: Path, *, base_model: str) -> None:
    """Exactly two files, the same bytes for the same weights, or none.

    PEFT's own `save_pretrained` adds a model card, asks the hub about the base model and writes
    sets in the order of their hashes.

    Args:
        model: a PEFT model with one adapter.
        out: folder, made if need be.
        base_model: what the adapter's config says it belongs to.

    Raises:
        Invalid: a weight is not a finite number.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    weights = {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in sorted(state.items())
    }
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise Invalid("Training diverged: the adapter holds numbers that are not finite.")
    config = model.peft_config[model.active_adapter]
    config.base_model_name_or_path = base_model
    config.inference_mode = True
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)
    existed = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        config.save_pretrained(str(out))
        save_file(weights, str(out / WEIGHTS), metadata={"format": "pt"})
    except BaseException:
        for name in (CONFIG, WEIGHTS):
            (out / name).unlink(missing_ok=True)
        if not existed:
            shutil.rmtree(out, ignore_errors=True)
        raise


def _targets(model: Any, plan: Plan) -> str | list[str]:
    if plan.trained_layers_share == 1:
        return "all-linear"
    count = len(layers.blocks(model)[1])
    first = layers.first_trained(count, plan.trained_layers_share)
    return layers.linear_names(model, first=first)


@contextmanager
def _quiet() -> Iterator[None]:
    """PEFT 0.21 asks transformers 5.23 a question under a name that is going away."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
        )
        yield
