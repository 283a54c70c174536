"""What the local engine leans on in transformers, and which version it was tried with.

Where one of these fails, the engine still starts: its self-check finds out, and it answers in
static batches. This says what has changed.
"""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)
from transformers.cache_utils import Cache, DynamicLayer

from serving.engines.slots import _SlotLayer
from tests.serving.engines import families

ROOT = Path(__file__).parents[3]


def allowed() -> str:
    """The versions that Heed asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [one for one in project["dependencies"] if one.startswith("transformers")]
    return str(found[0].removeprefix("transformers"))


def lean_on(found: object, expected: object, what: str) -> None:
    """Fail with what somebody has to know who has just changed the version."""
    assert found == expected, (
        f"{what} is {found!r} in transformers {transformers.__version__}; Heed's own decode loop "
        f"was written for {expected!r} (pyproject.toml asks for transformers{allowed()}). Mend "
        "serving/engines/slots.py, or let the engine fall back to static batches."
    )


def parameters(function: Any) -> list[str]:
    return [str(one).split(":")[0] for one in inspect.signature(function).parameters.values()]


def test_the_version_that_is_installed_is_one_that_heed_asks_for() -> None:
    lowest, below = re.findall(r"\d+\.\d+", allowed())
    found = tuple(map(int, transformers.__version__.split(".")[:2]))
    assert tuple(map(int, lowest.split("."))) <= found < tuple(map(int, below.split("."))), (
        f"transformers {transformers.__version__} is installed, and pyproject.toml asks for "
        f"{allowed()}. With another version, run tests/serving/engines first."
    )


def test_a_cache_is_made_of_layers_that_say_where_their_keys_are() -> None:
    assert "layers" in parameters(Cache.__init__)
    lean_on(
        parameters(DynamicLayer.update),
        ["self", "key_states", "value_states", "*args", "**kwargs"],
        "DynamicLayer.update",
    )
    lean_on(parameters(DynamicLayer.get_seq_length), ["self"], "DynamicLayer.get_seq_length")
    lean_on(
        parameters(DynamicLayer.get_mask_sizes),
        ["self", "query_length"],
        "DynamicLayer.get_mask_sizes",
    )

    class Seven(DynamicLayer):  # type: ignore[misc]  # transformers is not type-checked
        def get_seq_length(self) -> int:
            return 7

    layer = Seven()
    lean_on(layer.is_initialized, False, "a fresh layer's is_initialized")
    lean_on(layer.get_mask_sizes(1), (8, 0), "the mask's (length, offset) after seven tokens")
    cache = Cache(layers=[layer])
    lean_on(cache.layers, [layer], "Cache.layers")
    lean_on(cache.get_seq_length(), 7, "what a cache takes for its length")


def test_a_model_asks_a_layer_for_nothing_else(base: Path) -> None:
    """Whatever else it touched would be the inherited layer's idea of keys that it has not got."""
    model = AutoModelForCausalLM.from_pretrained(base, attn_implementation="sdpa").eval()
    asked: set[str] = set()

    class Watched(_SlotLayer):
        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("__"):
                asked.add(name)
            return super().__getattribute__(name)

    class Slots:
        begin, end, lengths = 0, 3, (3, 3)
        buffers = tuple(torch.zeros(2, 2, 8, 16) for _ in range(4))

    with torch.inference_mode():
        model(
            input_ids=torch.tensor([[5], [6]]),
            position_ids=torch.tensor([[3], [2]]),
            attention_mask=torch.tensor([[True] * 4, [False] + [True] * 3]),
            past_key_values=Cache(layers=[Watched(Slots(), n) for n in range(2)]),  # type: ignore[arg-type]
            use_cache=True,
            logits_to_keep=1,
        )
    known = {"_slots", "_number", "update", "get_seq_length", "get_mask_sizes"}
    known |= {"is_initialized", "is_sliding", "is_compileable"}  # true of these layers, too
    lean_on(asked - known, set(), "what a model asks of a cache layer beyond what is known")


def test_a_prompt_leaves_its_keys_by_layer(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, attn_implementation="sdpa").eval()
    cache = DynamicCache()
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor([[5, 6, 7]]), past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        ).logits  # fmt: skip
    lean_on(logits.shape[1], 1, "the number of positions that logits_to_keep=1 keeps")
    shapes = [(tuple(layer.keys.shape), tuple(layer.values.shape)) for layer in cache.layers]
    lean_on(shapes, [((1, 2, 3, 16), (1, 2, 3, 16))] * 2, "the shape of prefilled keys and values")


def test_the_linears_of_a_model_are_torchs_own(base: Path) -> None:
    """Adapters are added by a hook to what nn.Linear gives."""
    model = AutoModelForCausalLM.from_pretrained(base)
    kinds = {type(one) for name, one in model.named_modules() if name.endswith("_proj")}
    lean_on(kinds, {nn.Linear}, "the kind of a projection")


def test_an_architecture_without_sdpa_is_refused_by_a_value_error(
    base: Path, tmp_path: Path
) -> None:
    folder = families.build("rwkv", base, tmp_path / "rwkv")
    with pytest.raises(ValueError, match="scaled_dot_product_attention"):
        AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")


def test_generate_gives_away_each_tokens_logits_and_takes_what_it_is_told(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    model.generation_config = GenerationConfig()
    shapes: list[tuple[int, ...]] = []

    class Stop(Exception):
        pass

    class Sevens(LogitsProcessor):  # type: ignore[misc]  # transformers is not type-checked
        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            shapes.append(tuple(scores.shape))
            if len(shapes) == 4:
                lean_on(input_ids[:, 2:].tolist(), [[7, 7, 7]] * 2, "what generate goes on with")
                raise Stop
            return torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor([7]), 0.0)

    with pytest.raises(Stop):
        model.generate(
            input_ids=torch.tensor([[5, 6], [6, 5]]),
            attention_mask=torch.tensor([[1, 1], [1, 1]]),
            generation_config=GenerationConfig(
                max_new_tokens=10**9, do_sample=False, pad_token_id=0
            ),
            logits_processor=LogitsProcessorList([Sevens()]),
        )
    lean_on(shapes, [(2, model.config.vocab_size)] * 4, "the logits at each token")
