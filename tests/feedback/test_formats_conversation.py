"""Questions and answers in the spellings of tracing tools and model libraries."""

import json
from typing import Any

import pytest

from feedback.formats import conversation
from feedback.formats.records import Unusable
from tests.feedback.imports import lines, only, reason

PARTS = [{"type": "text", "text": "Part one. "}, {"type": "text", "text": "Part two."}]
THOUGHT = {"type": "thought", "text": "Hm."}


# -- answers in parts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        PARTS,
        [{"type": "output_text", "text": "Part one. "}, "Part two."],
        [THOUGHT, *PARTS],
        json.dumps([THOUGHT, *PARTS]),
        {"content": [THOUGHT, *PARTS]},
        [{"role": "assistant", "content": PARTS}],
        [{"type": "reasoning"}, {"type": "message", "role": "assistant", "content": PARTS}],
    ],
)
def test_an_answers_parts_are_one_text(value: Any) -> None:
    assert conversation.answer(value) == "Part one. Part two."


@pytest.mark.parametrize("value", [[THOUGHT], [*PARTS, {"type": "tool_call", "name": "f"}], []])
def test_thoughts_and_calls_are_no_answer(value: Any) -> None:
    with pytest.raises(Unusable, match="text"):
        conversation.answer(value)


def test_of_messages_the_assistants_last_is_the_answer() -> None:
    asked = {"role": "user", "content": "And?"}
    said = [{"role": "assistant", "content": text} for text in ("One.", "Two.")]
    assert conversation.answer([asked, *said]) == "Two."
    assert conversation.answer({"messages": [*said, asked]}) == "Two."
    with pytest.raises(Unusable, match="no text"):
        conversation.answer([asked])


def test_tensorzeros_answer_of_several_parts_is_taken_whole() -> None:
    inference = {
        "id": "i1",
        "variant_name": "v",
        "input": {"messages": [{"role": "user", "content": PARTS}]},
        "output": [THOUGHT, *PARTS],
    }
    liked = {"id": "f1", "target_id": "i1", "metric_name": "thumbs_up", "value": True}
    [chat] = only("tensorzero", lines(inference, liked)).chats
    assert chat.messages[0]["content"] == chat.answer == "Part one. Part two."
    better = {"id": "f2", "inference_id": "i1", "value": PARTS}
    [vote] = only("tensorzero", lines(inference, better)).votes
    assert vote.said == {"correction": "Part one. Part two."}
    called = {**inference, "output": [*PARTS, {"type": "tool_call", "name": "f"}]}
    assert "something else than text" in reason("tensorzero", lines(called, liked))
