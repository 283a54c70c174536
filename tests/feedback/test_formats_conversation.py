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


# -- as LangChain serialises them --------------------------------------------------------------


def serialised(name: str, **made: Any) -> dict[str, Any]:
    """A LangChain object as its tracer writes it."""
    ident = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": ident, "kwargs": made}


HUMAN = serialised("HumanMessage", content="How much?", type="human")
AI = serialised("AIMessage", content="59 dollars.", type="ai", tool_calls=[])
GENERATION = {"text": "59 dollars.", "type": "ChatGeneration", "message": AI}
RESULT: dict[str, Any] = {
    "generations": [[GENERATION]],
    "llm_output": {},
    "run": None,
    "type": "LLMResult",
}


def run(inputs: Any, outputs: Any) -> str:
    """A run of LangSmith's and the feedback about it."""
    feedback = {"id": "f1", "key": "user_score", "run_id": "r1", "score": 1}
    return lines({"id": "r1", "run_type": "llm", "inputs": inputs, "outputs": outputs}, feedback)


@pytest.mark.parametrize(
    "inputs",
    [
        [[HUMAN]],
        {"messages": [[HUMAN]]},
        {"messages": [HUMAN]},
        {"input": HUMAN},
        {"input": serialised("ChatPromptValue", messages=[HUMAN])},
        {"messages": [[serialised("ChatMessage", content="How much?", type="chat", role="user")]]},
        {"prompts": ["How much?"]},
        {"input": json.dumps([HUMAN])},
    ],
)
@pytest.mark.parametrize(
    "outputs",
    [
        RESULT,
        {"generations": [[{"text": "59 dollars."}]]},
        {"generations": [GENERATION]},
        {"messages": [HUMAN, AI]},
        {"output": AI},
        {"output": serialised("AIMessageChunk", content="59 dollars.", type="AIMessageChunk")},
        [[HUMAN, AI]],
    ],
)
def test_langchains_serialised_messages_are_read(inputs: Any, outputs: Any) -> None:
    [chat] = only("langsmith", run(inputs, outputs)).chats
    assert list(chat.messages) == [{"role": "user", "content": "How much?"}]
    assert chat.answer == "59 dollars."


def test_langchains_roles_are_told_by_the_class() -> None:
    said = [serialised("SystemMessage", content="Be brief."), HUMAN, AI]
    said += [serialised("ToolMessage", content="59", tool_call_id="c1")]
    assert [turn["role"] for turn in conversation.prompt([said])] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    with pytest.raises(Unusable, match="role"):
        conversation.turn(serialised("RemoveMessage", content=""))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"prompts": ["How much?", "How far?"]}, RESULT),
        ({"messages": [[HUMAN], [HUMAN]]}, RESULT),
        ({"prompts": ["How much?"]}, {"generations": [[GENERATION, GENERATION]]}),
        ({"prompts": ["How much?"]}, {"generations": [[GENERATION], [GENERATION]]}),
        ({"prompts": ["How much?"]}, {"generations": [GENERATION, GENERATION]}),
        ({"prompts": ["How much?"]}, {"choices": [{"text": "59"}, {"text": "60"}]}),
    ],
)
def test_a_batch_is_skipped_where_nothing_says_which_is_meant(inputs: Any, outputs: Any) -> None:
    assert reason("langsmith", run(inputs, outputs)) == conversation.SEVERAL
