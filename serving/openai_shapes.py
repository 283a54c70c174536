"""What an answer has to look like, and what it may call, as clients say it. Pure."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feedback.errors import Invalid


class JsonSchema(BaseModel):
    """A schema with its name."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    name: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class ResponseFormat(BaseModel):
    """What the answer has to look like."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


def check_tools(tools: list[dict[str, Any]]) -> None:
    """Refuse tools that are no functions with a name, parameters that are no object's.

    Raises:
        Invalid: names the tool.
    """
    for index, tool in enumerate(tools):
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            raise Invalid(
                f"`tools[{index}]` is no function; only those can be offered.",
                param=f"tools[{index}]",
            )
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise Invalid(
                f"`tools[{index}].function.name` is missing.",
                param=f"tools[{index}].function.name",
            )
        parameters = function.get("parameters")
        if parameters is None:
            continue
        if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
            raise Invalid(
                f"`tools[{index}].function.parameters` is no schema of an object.",
                param=f"tools[{index}].function.parameters",
            )
