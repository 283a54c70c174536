"""Prompts that arrive together are computed in parts of like length."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from serving.engines.continuous import ContinuousDecoder, of_like_length
from serving.engines.self_check import Rehearsed, disagreement, rehearsed_rows
from serving.engines.slots import Slots
from tests.serving.engines import tiny


def row(prompt_tokens: int, answer_tokens: int = 4) -> Rehearsed:
    """A row whose tokens mean nothing."""
    chance = random.Random(prompt_tokens)
    return Rehearsed(
        [chance.randrange(9) for _ in range(prompt_tokens + answer_tokens)], prompt_tokens
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny.build_base(tmp_path_factory.mktemp("base"))
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture
def decoder(model: Any) -> Iterator[ContinuousDecoder]:
    found = ContinuousDecoder(model)
    found._most_padding = 0
    yield found
    found.clear()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(0, 40))
def test_every_row_is_in_one_part_and_no_part_is_padded_too_much(
    lengths: list[int], most: int
) -> None:
    rows = [row(length) for length in lengths]
    parts = of_like_length(rows, most)
    assert sorted(map(id, (each for part in parts for each in part))) == sorted(map(id, rows))
    for part in parts:
        longest = max(len(each.prompt) for each in part)
        assert sum(longest - len(each.prompt) for each in part) <= most
    # No part more than needed: the next row would have been one too many.
    for part, after in itertools.pairwise(parts):
        together = [*part, after[0]]
        longest = max(len(each.prompt) for each in together)
        assert sum(longest - len(each.prompt) for each in together) > most


def test_a_large_model_has_more_parts_than_a_small_one(model: Any) -> None:
    small = ContinuousDecoder(model)._most_padding
    assert small is not None
    assert len(of_like_length([row(n) for n in (5, 11, 11, 7)], small)) == 1
    assert len(of_like_length([row(n) for n in (5, 11, 11, 7)], 1)) == 3


def test_parts_compute_what_the_model_computes(decoder: ContinuousDecoder, model: Any) -> None:
    lengths = {len(each.prompt) for each in rehearsed_rows(model)}
    assert len(lengths) > 1, "there would be one part"
    assert disagreement(decoder, model) is None


def test_a_part_that_finds_no_room_leaves_no_other_behind(
    decoder: ContinuousDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = row(6)
    decoder.join([first])
    real, calls = Slots.join, []

    def join(self: Slots, prefilled: Any, lengths: Any) -> None:
        calls.append(lengths)
        if len(calls) == 3:
            raise MemoryError
        real(self, prefilled, lengths)

    monkeypatch.setattr(Slots, "join", join)
    with pytest.raises(MemoryError):
        decoder.join([row(3), row(9), row(12)])
    assert decoder.rows == [first]
    assert decoder._slots.lengths == [6]
    decoder.step()
    assert first.token == first.tokens[7]
