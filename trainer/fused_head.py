"""Log-probabilities of answers on a GPU without ever holding all their logits.

On CUDA a vocabulary of 150,000 makes the logits the largest tensor of a step; TRL's head projects
tile by tile and folds each tile into the log-probability in a Triton kernel, forward and backward.
TRL asks one label of every position. Here a position may predict the first token of several
branches, so what leaves the layers is narrowed to the scored positions first, in their order.

On a CPU TRL has no kernel and recomputes every tile in the backward pass, so the narrowed head of
`batches` is used there. Knows no objective.
"""

import threading
from typing import Any

import torch
from torch import Tensor

from trainer.batches import Batch, given_to

_asked = threading.local()


def applies() -> bool:
    """Whether this machine has what TRL's kernel is made for."""
    return torch.cuda.is_available()


def install(model: Any) -> None:
    """Give a transformers model TRL's head; before it is wrapped with an adapter.

    Args:
        model: a causal language model. Called as usual it computes what it did before.
    """
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(model)
    model.base_model.register_forward_hook(_narrow)
    model.get_output_embeddings().heed_fused = True


def token_log_probs(model: Any, batch: Batch) -> Tensor:
    """Log-probability (S,) of each scored token, in nats.

    Args:
        model: with `install`ed head, with or without an adapter.
        batch: on the model's device.
    """
    _asked.at = batch.at
    try:
        output = model(**given_to(batch), fused_lm_head=True, shift_labels=batch.targets[None])
    finally:
        _asked.at = None
    tokens: Tensor = output.log_probs[0].float()
    return tokens


def _narrow(_module: object, _given: object, output: Any) -> Any:
    at: Tensor | None = getattr(_asked, "at", None)
    if at is not None:
        states = output.last_hidden_state.flatten(0, 1).index_select(0, at)
        output.last_hidden_state = states[None]
    return output
