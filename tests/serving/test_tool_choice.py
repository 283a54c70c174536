"""What `tool_choice`, `parallel_tool_calls` and `strict` ask for together."""

from typing import Any

import pytest

from feedback.errors import Invalid
from serving.tool_choice import Calls, calls_of
from tests.serving.conftest import Server, fault


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


A, B = tool("a"), tool("b")
NAMED = {"type": "function", "function": {"name": "b"}}


@pytest.mark.parametrize(
    ("tools", "choice", "parallel", "expected"),
    [
        ([], None, None, Calls([], [])),
        ([], "auto", False, Calls([], [], many=False)),
        ([A], "none", False, Calls()),
        ([tool("a", strict=True)], "none", None, Calls()),
        ([A, B], None, None, Calls([A, B], [A, B])),
        ([A, B], "auto", True, Calls([A, B], [A, B])),
        ([A], "auto", False, Calls([A], [A], many=False, field="parallel_tool_calls")),
        ([A], "required", None, Calls([A], [A], must=True, field="tool_choice")),
        ([A], "required", False, Calls([A], [A], True, False, "tool_choice")),
        ([A, B], NAMED, None, Calls([A, B], [B], True, False, "tool_choice")),
        ([A, B], NAMED, True, Calls([A, B], [B], True, False, "tool_choice")),
    ],
)
def test_the_fields_together_say_what_is_asked_of_calls(
    tools: list[dict[str, Any]], choice: Any, parallel: bool | None, expected: Calls
) -> None:
    assert calls_of(tools, choice, parallel) == expected


def test_a_strict_tool_asks_by_its_place() -> None:
    strict = [A, tool("b", strict=True), tool("c", strict=False)]
    assert calls_of(strict, "auto", None).field == "tools[1].function.strict"
    assert calls_of([A, tool("c", strict=False)], None, None).field is None


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([], "required"),
        ([], NAMED),
        ([A], NAMED),
        ([A], "sometimes"),
        ([A], 1),
        ([A], ["required"]),
        ([B], {"type": "tool", "function": {"name": "b"}}),
        ([B], {"type": "function", "function": "b"}),
        ([B], {"type": "function", "function": {"name": ["b"]}}),
    ],
)
def test_a_choice_that_is_none_is_refused(tools: list[dict[str, Any]], choice: Any) -> None:
    with pytest.raises(Invalid) as refused:
        calls_of(tools, choice, None)
    assert refused.value.param == "tool_choice"


def test_an_engine_that_holds_no_answer_to_a_form_says_which_field_it_cannot_honour(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = server.parts.engine.inner  # type: ignore[attr-defined]
    monkeypatch.setattr(type(engine), "features", frozenset({"tools"}))
    for fields, param in (
        ({"tools": [A], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [A], "tool_choice": {**NAMED, "function": {"name": "a"}}}, "tool_choice"),
        ({"tools": [A], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tools": [A, tool("b", strict=True)]}, "tools[1].function.strict"),
    ):
        answer = server.chat(**fields)
        assert (answer.status_code, fault(answer)["param"]) == (400, param)
