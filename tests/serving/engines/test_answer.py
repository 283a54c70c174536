"""One answer on its way: which log-probabilities go out with which piece of its text."""

import asyncio
from typing import Any

import pytest
from transformers import AutoTokenizer

from serving.engines.answer import Answer, Told
from serving.engines.base import Chunk, Sampling
from serving.engines.text_stream import TextStream
from serving.engines.token_bytes import TokenBytes
from trainer import base_folder


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(base_folder.resolve("starter"))


def pieces(tokenizer: Any, tokens: list[int], *stop: str) -> list[Chunk]:
    """What an answer of these tokens hands out, one by one."""
    answer = Answer(
        prompt=[1],
        adapter="base",
        sampling=Sampling(top_logprobs=0),
        max_tokens=len(tokens),
        end_tokens=frozenset([tokenizer.eos_token_id]),
        text=TextStream(
            lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)), stop
        ),
        loop=asyncio.new_event_loop(),
        token_bytes=TokenBytes(tokenizer),
    )
    answer.loop.close()
    made = []
    for token in tokens:
        answer.token, answer.told = token, Told(token, -1.0, ())
        chunk = answer.next_chunk()
        assert isinstance(chunk, Chunk)
        made.append(chunk)
    return made


def test_a_special_token_that_no_text_shows_holds_back_nothing_that_follows(tokenizer: Any) -> None:
    tea, time, for_ = (tokenizer.encode(word) for word in ("tea", " time", " for"))
    hidden = tokenizer.convert_tokens_to_ids("<|user|>")
    assert hidden in tokenizer.all_special_ids
    made = pieces(tokenizer, [*tea, hidden, *time, *for_, tokenizer.eos_token_id])
    assert "".join(chunk.text for chunk in made) == "tea time for"
    spelled = shown = ""
    for chunk in made[:-1]:
        spelled += "".join(token.raw.decode() for token in chunk.logprobs)
        shown += chunk.text
        # Up to where the text has come, and no further: its own tokens are told with each piece.
        assert spelled.replace("<|user|>", "") == shown
    assert "<|user|>" in spelled


def test_what_a_stop_string_may_still_swallow_is_not_told_yet(tokenizer: Any) -> None:
    tokens = [tokenizer.encode(word) for word in (" tea", " time", " for")]
    assert [len(each) for each in tokens] == [1, 1, 1]
    made = pieces(tokenizer, [each for (each,) in tokens], "a tx", " timex")
    assert [chunk.text for chunk in made] == [" te", "a", " time for"]
    told = ["".join(token.raw.decode() for token in chunk.logprobs) for chunk in made]
    assert told == [" tea", "", " time for"]
