"""How chat templates write calls: those of real models, as TRL keeps them, and odd ones."""

from importlib.resources import files
from typing import Any

import pytest
from transformers import AutoTokenizer

from serving.engines import tool_frame
from serving.engines.tool_frame import Frame
from trainer import base_folder

QWEN = Frame(('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>"), True, "\n")
CALLS = "{% for m in messages %}{% for call in m.tool_calls or [] %}%s{% endfor %}{% endfor %}"
NAME, ARGUMENTS = "{{ call.function.name }}", "{{ call.function.arguments | tojson }}"


@pytest.fixture
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(base_folder.resolve("starter"))


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "qwen3_instruct_2507"])
def test_the_frame_of_models_that_write_like_hermes_is_learned(tokenizer: Any, name: str) -> None:
    tokenizer.chat_template = files("trl").joinpath(f"chat_templates/{name}.jinja").read_text()
    assert tool_frame.learn(tokenizer) == QWEN


@pytest.mark.parametrize(
    "name", ["llama3_1", "glm4moe", "qwen3_6", "gptoss", "phi3_5", "deepseekv3"]
)
def test_a_template_that_writes_calls_otherwise_or_not_at_all_has_no_frame(
    tokenizer: Any, name: str
) -> None:
    tokenizer.chat_template = files("trl").joinpath(f"chat_templates/{name}.jinja").read_text()
    assert tool_frame.learn(tokenizer) is None


def test_the_arguments_may_come_first(tokenizer: Any) -> None:
    written = f'<tool_call>{{"arguments": {ARGUMENTS}, "name": "{NAME}"}}</tool_call>'
    tokenizer.chat_template = CALLS.replace("%s", written)
    assert tool_frame.learn(tokenizer) == Frame(
        ('<tool_call>{"arguments": ', ', "name": "', '"}</tool_call>'), False, ""
    )


@pytest.mark.parametrize(
    "written",
    [
        # Arguments as a text that holds JSON: what their schema says of it would not be kept.
        f'<tool_call>{{"name": "{NAME}", "arguments": {{{{ call.function.arguments | tojson | tojson }}}}}}</tool_call>',
        f'<tool_call>{{"tool": "{NAME}", "arguments": {ARGUMENTS}}}</tool_call>',
        f'<tool_call>{{"name": "{NAME}", "parameters": {ARGUMENTS}}}</tool_call>',
        f'<tool_call>{{"name": "{NAME}", "arguments": {ARGUMENTS}}}</tool_call> and ',
        f'<tool_call>{{"name": "{NAME}", "arguments": {ARGUMENTS}}}',
        "{{ raise_exception('no') }}",
    ],
)  # fmt: skip
def test_what_could_not_be_read_again_is_no_frame(tokenizer: Any, written: str) -> None:
    tokenizer.chat_template = CALLS.replace("%s", written)
    assert tool_frame.learn(tokenizer) is None
