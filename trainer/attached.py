"""A base model in memory with any number of adapters attached, one of them in use at a time.

Knows nothing of answers and of likelihoods (`trainer.policy`). Made for one thread of one process:
the adapter in use is state of the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

from feedback.errors import Conflict, Invalid, NotFound
from trainer import hardware

hardware.calm_threads()  # before torch, or waiting threads spin

import torch

from trainer import adapter_folder, base_model, folded_lora, rows
from trainer.base_folder import weights_bytes
from trainer.examples import Example, Message
from trainer.template import Refused

_BATCH_TOKENS = 4096
# Logits of one batch are bounded as well: a large vocabulary at many positions is the biggest
# tensor of all.
_BATCH_LOGITS = 2**26


class Attached:
    """One base model and any number of adapters on it.

    Args:
        base: the model.
        lanes: batches that are worked on at once.
    """

    def __init__(self, base: base_model.BaseModel, *, lanes: int = 1) -> None:
        self._base = base
        self._peft: Any = None
        self._names: set[str] = set()
        config = base.model.config.get_text_config()
        self._lanes = lanes
        self._score_tokens = max(256, min(_BATCH_TOKENS, _BATCH_LOGITS // config.vocab_size))

    @classmethod
    def load(
        cls,
        base_folder: Path,
        *,
        threads: int | None,
        adapters: Mapping[str, Path | None] | None = None,
    ) -> Self:
        """Load the base model in fp32 (bf16 on a GPU that has it).

        Args:
            base_folder: what `from_pretrained` reads.
            threads: CPU threads; by default as `hardware.spread` says.
            adapters: what is attached, by name; without a folder, as the base model has none,
                nothing is.

        Raises:
            Invalid: there is no such model, or it is not made for chat; or a folder holds no
                adapter in safetensors.
        """
        each, lanes = hardware.spread(threads, weights_bytes=weights_bytes(base_folder))
        torch.set_num_threads(each)
        gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        base = base_model.load(base_folder, dtype=torch.bfloat16 if gpu else torch.float32)
        made = cls(base, lanes=lanes)
        for name, folder in (adapters or {}).items():
            if folder is not None:
                made.attach(name, folder)
        return made

    @property
    def parameters(self) -> int:
        """Of the base model."""
        return self._base.parameters

    @property
    def context_tokens(self) -> int:
        """The longest sequence that the model reads."""
        return self._base.context_tokens

    @property
    def tokenizer(self) -> Any:
        """The base model's, of transformers."""
        return self._base.tokenizer

    def attach(self, name: str, folder: Path) -> None:
        """Load one more adapter under a name of its own.

        Raises:
            Conflict: the name is taken.
            Invalid: the folder holds no adapter in safetensors.
        """
        if name in self._names:
            raise Conflict(f"There is an adapter {name} already; names are not reused.")
        self._peft = adapter_folder.attach(self._peft or self._base.model, folder, name)
        self._names.add(name)

    def fits(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, max_new_tokens: int = 1
    ) -> list[bool]:
        """Which rows leave room in the context for their answer and for so many new tokens.

        What the chat template refuses has none.
        """
        return [
            not isinstance(each, Refused)
            and len(each[0]) + max(len(each[1]), max_new_tokens) <= self._base.context_tokens
            for each in self._base.encoder.try_pairs(rows)
        ]

    def misfits(self, examples: Sequence[Example]) -> list[str]:
        """Why each example cannot be learned on this base; nothing where it can."""
        context = self._base.context_tokens
        encoded = rows.encode(examples, self._base.encoder, context_tokens=context)
        return [each.message if isinstance(each, Invalid) else "" for each in encoded]

    def lengths(self, rows: Sequence[tuple[Sequence[Message], str]]) -> list[int]:
        """Tokens of each answer, its end included."""
        return [len(answer) for _, answer in self._base.encoder.pairs(rows)]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(ids) for _, ids in self._base.encoder.texts(texts)]

    @contextmanager
    def _using(self, adapter: str | None) -> Iterator[Any]:
        """The model under an adapter, or bare."""
        if adapter is None:
            if self._peft is None:
                yield self._base.model
            else:
                with self._peft.disable_adapter():
                    yield self._base.model
            return
        if adapter not in self._names:
            raise NotFound(f"There is no adapter {adapter} attached to this model.")
        self._peft.set_adapter(adapter)
        fp32 = self._base.model.dtype == torch.float32
        with folded_lora.folded(self._peft, frozen=True) if fp32 else nullcontext():
            yield self._base.model
