"""Questions that a base model thinks up: it is shown where a user's words would stand, and goes on.

A model that was made for chat has seen what users ask, and its template says where they ask it (Xu
et al., 2024, "Magpie", https://arxiv.org/abs/2406.08464). Seeded. Knows nothing of who answers.
"""

from collections.abc import Sequence
from typing import Any

import torch

from trainer.base_model import BaseModel
from trainer.examples import Message

_BATCH = 32
_TOP_P = 0.9
_PLACE = "⁂"
"""Stands for what the user says, to find its place; no template writes it."""


def questions(
    base: BaseModel, model: Any, count: int, *, max_new_tokens: int, seed: int
) -> list[str]:
    """Return what users might ask, in the order of the draw; some come twice.

    One that did not end in time is left out, and so is one that is empty: fewer than asked for, and
    none where the template puts nothing before a user's words.

    Args:
        base: its tokenizer, template and end tokens.
        model: the bare model.
        count: questions to draw.
        max_new_tokens: a question that goes on is left out.
        seed: of the draw.
    """
    before, after = _around(base.tokenizer)
    prompt = base.tokenizer(before, add_special_tokens=False)["input_ids"]
    room = min(max_new_tokens, base.context_tokens - len(prompt))
    if not prompt or room <= 0:
        return []
    found: list[str] = []
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for start in range(0, count, _BATCH):
            lines = min(_BATCH, count - start)
            ids = torch.tensor([prompt] * lines, device=device)
            with torch.inference_mode():
                drawn = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=True,
                    temperature=1.0,
                    top_p=_TOP_P,
                    top_k=0,
                    max_new_tokens=room,
                    eos_token_id=sorted(base.ends),
                    pad_token_id=base.pad,
                )
            found += [
                text
                for line in drawn[:, len(prompt) :].tolist()
                if (text := _question(base, line, after)) is not None
            ]
    return found


def _around(tokenizer: Any) -> tuple[str, str]:
    """What the template writes before and after a user's words."""
    rendered: str = tokenizer.apply_chat_template(
        [Message(role="user", content=_PLACE)], add_generation_prompt=True, tokenize=False
    )
    before, _, after = rendered.partition(_PLACE)
    return before, after.strip()


def _question(base: BaseModel, ids: Sequence[int], after: str) -> str | None:
    """The words before the user's turn ends, or None where it did not."""
    at = next((i for i, token in enumerate(ids) if token in base.ends), len(ids))
    text = str(base.tokenizer.decode(ids[:at], skip_special_tokens=False))
    # A template may end a user's turn with words of its own, which are no end tokens.
    words, ended, _ = text.partition(after) if after else (text, "", "")
    if at == len(ids) and not ended:
        return None
    return words.strip() or None
