"""The own loop is only used where it computes what the model computes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from serving.engines import self_check
from serving.engines.base import Sampling
from serving.engines.continuous import ContinuousDecoder
from serving.engines.local import LocalEngine
from serving.engines.slots import Slots, _SlotLayer
from serving.engines.supervised import SupervisedEngine
from tests.serving.engines import tiny
from tests.serving.engines.asking import ask, text_of, user
from tests.serving.engines.test_static import spelled


def _writes_the_wrong_column(patch: pytest.MonkeyPatch) -> None:
    real = _SlotLayer.update

    def update(self: Any, keys: Tensor, values: Tensor, *rest: Any, **more: Any) -> Any:
        return real(self, keys.flip(0), values, *rest, **more)

    patch.setattr(_SlotLayer, "update", update)


def _masks_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Slots, "padding_mask", lambda self: None)


def _counts_one_too_few(patch: pytest.MonkeyPatch) -> None:
    real = ContinuousDecoder._forward

    def forward(self: Any, rows: Any, ids: Any, positions: Tensor, *rest: Any) -> Any:
        return real(self, rows, ids, (positions - 1).clamp(min=0), *rest)

    patch.setattr(ContinuousDecoder, "_forward", forward)


def _moves_nobody_who_leaves(patch: pytest.MonkeyPatch) -> None:
    def leave(self: Slots, slot: int) -> None:
        self.lengths[slot] = self.lengths[-1]
        self.lengths.pop()

    patch.setattr(Slots, "leave", leave)


def _forgets_who_joins_midway(patch: pytest.MonkeyPatch) -> None:
    real = Slots.join

    def join(self: Slots, prefilled: Any, lengths: Any) -> None:
        before = len(self.lengths)
        real(self, prefilled, lengths)
        if before:
            self.buffers[0][before:] = 0

    patch.setattr(Slots, "join", join)


def _is_called_otherwise(patch: pytest.MonkeyPatch) -> None:
    def update(self: Any, keys: Tensor, values: Tensor, layer: int) -> Any:
        raise AssertionError("not called as this version calls it")

    patch.setattr(_SlotLayer, "update", update)


def _gives_no_numbers(patch: pytest.MonkeyPatch) -> None:
    real = _SlotLayer.update

    def update(self: Any, keys: Tensor, values: Tensor, *rest: Any, **more: Any) -> Any:
        return real(self, keys * torch.nan, values, *rest, **more)

    patch.setattr(_SlotLayer, "update", update)


SABOTAGE: list[Callable[[pytest.MonkeyPatch], None]] = [
    _writes_the_wrong_column,
    _masks_nothing,
    _counts_one_too_few,
    _moves_nobody_who_leaves,
    _forgets_who_joins_midway,
    _is_called_otherwise,
    _gives_no_numbers,
]


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda each: each.__name__.strip("_"))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_notices_a_loop_that_does_something_else(
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    sabotage: Callable[[pytest.MonkeyPatch], None],
) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype)).eval()
    decoder = ContinuousDecoder(model)
    assert self_check.disagreement(decoder, model) is None
    sabotage(monkeypatch)
    assert "the own loop" in (self_check.disagreement(decoder, model) or "")
    assert decoder.rows == []


@pytest.mark.parametrize("sabotage", [_masks_nothing, _is_called_otherwise])
def test_a_loop_that_does_something_else_gives_way_to_static_batches(
    base: Path,
    adapters: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sabotage: Callable[[pytest.MonkeyPatch], None],
) -> None:
    sabotage(monkeypatch)

    async def play() -> None:
        engine = SupervisedEngine(lambda: LocalEngine(str(base), threads=1))
        await engine.start()
        await engine.load("adp_0001", adapters["adp_0001"])
        health = engine.health()
        assert (health.ready, health.batching) == (True, "static")
        assert health.detail.startswith("ready; static batches, since the own loop")
        asks = [ask(engine, "tea " * n, Sampling(max_tokens=9), "adp_0001") for n in (1, 5)]
        for n, chunks in zip((1, 5), await asyncio.gather(*asks), strict=True):
            prompt = engine.prepare(user("tea " * n)).token_ids
            expected = tiny.alone(base, adapters["adp_0001"], prompt, 9)
            assert text_of(chunks) == spelled(base, expected)
        await engine.stop()

    asyncio.run(play())
    assert "static batches, since the own loop" in caplog.text


def test_the_own_loop_is_used_where_it_proves_itself_and_says_nothing(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        engine = LocalEngine(str(base), threads=1)
        assert engine.health().batching is None
        await engine.start()
        health = engine.health()
        assert (health.ready, health.detail, health.batching) == (True, "ready", "continuous")
        await engine.stop()
        assert (engine.health().ready, engine.health().batching) == (False, None)

    asyncio.run(play())
    assert caplog.records == []
