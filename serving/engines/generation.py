"""One call of transformers' `generate`, handed over token by token (torch).

`generate` has a loop of its own and calls us for every token; our caller has one, too, and asks us
for every token. So `generate` runs in a thread which stands still whenever it is not asked: at any
time one of the two computes and the other waits. Knows nothing of adapters, of how a token is
chosen or of who is asking.
"""

import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

PADDING_TOKEN = 0
"""What a place without a token holds. Any would do: it is masked, or nobody reads what follows."""

_NO_END_TOKENS = 1_000_000_000
"""The caller knows when an answer ends; this one only must not come before."""


class Generation:
    """A static batch on its way. Its thread ends with `end`, or with an exception of `generate`.

    Args:
        model: what generates. Its own generation config must be empty: what is set there and not
            here would count.
        prompts: token ids; shorter ones are padded on the left.
    """

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        longest = max(map(len, prompts))
        padding = [longest - len(prompt) for prompt in prompts]
        device = next(model.parameters()).device
        self._ids = torch.tensor(
            [
                [PADDING_TOKEN] * count + list(prompt)
                for count, prompt in zip(padding, prompts, strict=True)
            ],
            device=device,
        )
        self._mask = torch.tensor(
            [[0] * count + [1] * (longest - count) for count in padding], device=device
        )
        self._asked: SimpleQueue[list[int] | None] = SimpleQueue()
        self._made: SimpleQueue[Tensor | BaseException] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="heed-generate", daemon=True)

    def begin(self) -> Tensor:
        """Compute the prompts; returns the logits of each row's first token, (rows, vocabulary).

        Raises:
            Exception: what `generate` raised.
        """
        self._thread.start()
        return self._next()

    def go_on(self, tokens: Sequence[int]) -> Tensor:
        """Take the token chosen for each row; returns the logits of the next, (rows, vocabulary).

        Raises:
            Exception: what `generate` raised.
        """
        self._asked.put(list(tokens))
        return self._next()

    def end(self) -> None:
        """Let `generate` go, wherever it stands; returns once its thread has ended."""
        if self._thread.ident is not None:
            self._asked.put(None)
            self._thread.join()

    def _next(self) -> Tensor:
        made = self._made.get()
        if not isinstance(made, BaseException):
            return made
        try:
            raise made
        finally:
            del made  # or its traceback, this frame and the cache in it hold each other

    def _run(self) -> None:
        config = GenerationConfig(
            max_new_tokens=_NO_END_TOKENS,
            do_sample=False,
            use_cache=True,
            pad_token_id=PADDING_TOKEN,
        )
        try:
            with torch.inference_mode():
                self._model.generate(
                    input_ids=self._ids,
                    attention_mask=self._mask,
                    generation_config=config,
                    logits_processor=LogitsProcessorList([_HandOver(self._made, self._asked)]),
                )
            self._made.put(RuntimeError("generate ended although its rows had not"))
        except _Ended:
            pass
        # Whoever waits must hear of it, whatever it is, or wait for ever.
        except BaseException as error:  # noqa: BLE001
            self._made.put(error)


class _Ended(Exception):
    """Nobody reads on."""


class _HandOver(LogitsProcessor):  # type: ignore[misc]  # transformers is not type-checked
    """Gives the logits away and waits for what is chosen by them."""

    def __init__(
        self,
        made: "SimpleQueue[Tensor | BaseException]",
        asked: "SimpleQueue[list[int] | None]",
    ) -> None:
        self._made = made
        self._asked = asked

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._made.put(scores)
        tokens = self._asked.get()
        if tokens is None:
            raise _Ended
        chosen = torch.tensor(tokens, device=scores.device)[:, None]
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)
