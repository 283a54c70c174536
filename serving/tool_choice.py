"""Which tools an answer may call, has to call, or must not: `tool_choice` and what goes with it.

Pure: knows nothing of engines or of how calls are written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from feedback.errors import Invalid


@dataclass(frozen=True)
class Calls:
    """What is asked of the calls in an answer.

    Attributes:
        offered: the tools that the model is told of.
        callable: those of them that it may call.
        must: whether the answer has to be a call.
        many: whether it may be several.
        field: the field that asks for more than the model gives by itself; None where none does.
    """

    offered: Sequence[dict[str, Any]] = ()
    callable: Sequence[dict[str, Any]] = ()
    must: bool = False
    many: bool = True
    field: str | None = None

    @property
    def constraint(self) -> dict[str, Any]:
        """The same as an engine reads it; see `serving.engines.base.Engine`."""
        functions = [tool["function"] for tool in self.callable]
        return {"tools": functions, "must": self.must, "many": self.many, "field": self.field}


def calls_of(tools: Sequence[dict[str, Any]], choice: Any, parallel: bool | None) -> Calls:
    """Return what a request asks of calls.

    Args:
        tools: functions, checked already.
        choice: its `tool_choice`.
        parallel: its `parallel_tool_calls`.

    Raises:
        Invalid: the choice is none, or names no tool; names the field.
    """
    if choice == "none":
        return Calls()
    if choice not in (None, "auto") and not tools:
        raise Invalid("`tool_choice` needs `tools` to choose from.", param="tool_choice")
    if isinstance(choice, dict):
        return Calls(tools, [_named(tools, choice)], must=True, many=False, field="tool_choice")
    if choice not in (None, "auto", "required"):
        raise Invalid(
            "`tool_choice` can be `auto`, `none`, `required`, or "
            '{"type": "function", "function": {"name": …}}.',
            param="tool_choice",
        )
    must, many = choice == "required", parallel is not False
    field = "tool_choice" if must else None if many else "parallel_tool_calls"
    return Calls(tools, tools, must, many, (field or _strict(tools)) if tools else None)


def _named(tools: Sequence[dict[str, Any]], choice: dict[str, Any]) -> dict[str, Any]:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if choice.get("type") != "function" or not isinstance(name, str):
        raise Invalid(
            '`tool_choice` names a tool as {"type": "function", "function": {"name": …}}.',
            param="tool_choice",
        )
    for tool in tools:
        if tool["function"]["name"] == name:
            return tool
    raise Invalid(f"`tool_choice` names {name!r}, which is not in `tools`.", param="tool_choice")


def _strict(tools: Sequence[dict[str, Any]]) -> str | None:
    """The first place in which a tool asks that its parameters be kept exactly."""
    for at, tool in enumerate(tools):
        if tool["function"].get("strict"):
            return f"tools[{at}].function.strict"
    return None
