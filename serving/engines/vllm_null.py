"""The null adapter: of zeros, so that vLLM answers for the base model as through any adapter.

In a batch in which some rows have an adapter, vLLM's kernels for the CPU give a row without one the
adapter of the last slot. Where every row has one, all are right
(docs/decisions/0005-a-null-adapter-in-vllm.md). Knows nothing of HTTP, of adapters that were trained
or of when vLLM forgets.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from feedback.errors import Invalid, Unavailable


@dataclass(frozen=True)
class NullAdapter:
    """A PEFT folder that changes no answer.

    Attributes:
        name: under which vLLM knows it; stands for these files in this folder and no others.
        folder: where vLLM reads it.
        files: what the folder holds, by name.
    """

    name: str
    folder: Path
    files: Mapping[str, bytes]

    def write(self) -> None:
        """Put the files where vLLM reads them, each whole or not at all.

        Raises:
            Unavailable: the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, content in self.files.items():
                _put(self.folder / name, content)
        except OSError as error:
            raise Unavailable(
                f"The adapter through which vLLM answers for the base model cannot be written to "
                f"{self.folder} ({error}). Make room there, or let Heed write there."
            ) from error


def make(base: Path, shared: Path) -> NullAdapter:
    """Return the null adapter of a base model, not written yet; the same bytes every time.

    It holds one layer at rank 1: vLLM refuses an adapter of none, and takes what an adapter leaves
    out for zeros.

    Args:
        base: the base model's folder.
        shared: the folder of adapters, which vLLM has to see under the same path.

    Raises:
        Invalid: transformers cannot tell how the base model is built.
    """
    layer, inputs, outputs = _first_linear(base)
    files = {
        "adapter_config.json": _config(layer),
        "adapter_model.safetensors": _weights(layer, inputs, outputs),
    }
    # The place belongs to the name: vLLM reads the files again whenever it has put the adapter out
    # of its memory, and a vLLM that outlives a folder of Heed's would look there in vain.
    whole = hashlib.sha256(os.fsencode(shared.absolute()))
    for content in files.values():
        whole.update(hashlib.sha256(content).digest())
    name = f"null-{whole.hexdigest()[:12]}"
    return NullAdapter(name, shared.absolute() / name, files)


def _first_linear(base: Path) -> tuple[str, int, int]:
    """Name, inputs and outputs of a layer that every adapter of the trainer's has, too."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(base, local_files_only=True)
        with torch.device("meta"):  # takes no memory, however large the model
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise Invalid(
            f"transformers cannot tell how the base model in {base} is built: {error}",
            param="base_model",
        ) from error
    head = model.get_output_embeddings()
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and layer is not head:
            return name, layer.in_features, layer.out_features
    raise Invalid(f"The base model in {base} has no layer for an adapter.", param="base_model")


def _config(layer: str) -> bytes:
    said = {
        "inference_mode": True,
        "lora_alpha": 1,
        "peft_type": "LORA",
        "r": 1,
        "target_modules": [layer],
        "task_type": "CAUSAL_LM",
    }
    return json.dumps(said, indent=2).encode()


def _weights(layer: str, inputs: int, outputs: int) -> bytes:
    import torch
    from safetensors.torch import save

    zeros = {
        f"base_model.model.{layer}.lora_A.weight": torch.zeros(1, inputs),
        f"base_model.model.{layer}.lora_B.weight": torch.zeros(outputs, 1),
    }
    return bytes(save(zeros, metadata={"format": "pt"}))


def _put(file: Path, content: bytes) -> None:
    """Written beside it and renamed, for another replica may be reading or writing the same."""
    if file.is_file() and file.read_bytes() == content:
        return
    fresh = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        fresh.write_bytes(content)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
