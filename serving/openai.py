"""The wire types of the OpenAI chat API, as far as Heed speaks it.

Shapes: https://platform.openai.com/docs/api-reference/chat. A known field that cannot be honoured
is refused and named; a field that OpenAI does not know is let through.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feedback.errors import Invalid
from feedback.models import Exchange
from serving.engines.base import ChatMessage, Sampling
from serving.settings import ServingSettings

ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
NOT_HONOURED: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None,),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "parallel_tool_calls": (None, True, False),
    "audio": (None,),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "web_search_options": (None,),
    "reasoning_effort": (None, "none"),
    "verbosity": (None, "medium"),
    "service_tier": (None, "auto", "default"),
    "moderation": (None,),
}
"""Known fields with the values that ask for nothing."""


class Part(BaseModel):
    """One part of a message's content; only text is understood."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None


class WireMessage(BaseModel):
    """One message as clients send it."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[Part] | None = None


class StreamOptions(BaseModel):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(
        min_length=1, max_length=200, description="`heed`, `base`, or the id of an adapter."
    )
    messages: list[WireMessage] = Field(
        min_length=1, max_length=2048, description="The conversation; the last one is answered."
    )
    max_tokens: int | None = Field(None, gt=0, description="The answer ends after so many tokens.")
    max_completion_tokens: int | None = Field(
        None, gt=0, description="The newer name of max_tokens."
    )
    temperature: float | None = Field(None, ge=0, le=2, description="0 takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus mass kept.")
    stop: str | list[str] | None = Field(
        None, description="The answer ends before the first of these, four at most."
    )
    seed: int | None = Field(None, description="Makes a drawn answer repeatable.")
    stream: bool | None = Field(None, description="Send the answer piece by piece.")
    stream_options: StreamOptions | None = Field(
        None, description="`include_usage` adds a last event with the token counts."
    )
    store: bool | None = Field(None, description="false: nothing of this is logged.")
    metadata: dict[str, str] | None = Field(
        None, max_length=16, description="Kept with the answer; `conversation_id` groups turns."
    )
    user: str | None = Field(None, max_length=512, description="Who asks; kept as a keyed hash.")
    safety_identifier: str | None = Field(
        None, max_length=512, description="The newer name of user."
    )

    def check_honoured(self) -> None:
        """Refuse known fields that ask for something Heed does not do.

        Raises:
            Invalid: names the field.
        """
        for name, neutral in NOT_HONOURED.items():
            value = (self.model_extra or {}).get(name)
            if value not in neutral:
                raise Invalid(
                    f"`{name}` is not supported here; leave it out (or send {neutral[-1]!r}).",
                    param=name,
                )

    def conversation(self) -> list[ChatMessage]:
        """Return the messages as plain text turns.

        Raises:
            Invalid: a role or a content that the model cannot be given; names the message.
        """
        turns: list[ChatMessage] = []
        for index, message in enumerate(self.messages):
            place = f"messages[{index}]"
            role = ROLES.get(message.role)
            if role is None:
                raise Invalid(
                    f"`{place}.role` is {message.role!r}; use system, developer, user or "
                    "assistant.",
                    param=f"{place}.role",
                )
            turns.append({"role": role, "content": _text(message, place)})
        if turns[-1]["role"] == "assistant":
            raise Invalid(
                "The last message is the assistant's; end with the user's, who is to be answered.",
                param="messages",
            )
        return turns

    def sampling(self, settings: ServingSettings, *, room_tokens: int) -> Sampling:
        """Return how to draw the answer.

        Args:
            settings: the defaults for what the request leaves open.
            room_tokens: what the prompt leaves of the context.

        Raises:
            Invalid: more than four stop strings or an empty one, or a limit beyond the context.
        """
        limit = self.max_completion_tokens or self.max_tokens
        if limit is not None and limit > room_tokens:
            field = "max_completion_tokens" if self.max_completion_tokens else "max_tokens"
            raise Invalid(
                f"`{field}` is {limit:,}, but the prompt leaves room for {room_tokens:,} tokens of "
                "this model's context; ask for fewer, or shorten the conversation.",
                param=field,
            )
        stop = self.stops
        if len(stop) > 4 or not all(stop):
            raise Invalid("`stop` takes at most four strings, none of them empty.", param="stop")
        return Sampling(
            temperature=settings.temperature if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            max_tokens=limit or min(settings.max_tokens, room_tokens),
            stop=tuple(stop),
            seed=self.seed,
        )

    @property
    def stops(self) -> list[str]:
        """The strings before which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def who(self) -> str | None:
        """The end user's name as the client gave it."""
        return self.safety_identifier or self.user


def completion(
    *,
    id: str,
    created: int,
    model: str,
    adapter: str,
    text: str,
    finish: str,
    usage: dict[str, int],
) -> dict[str, Any]:
    """Return the body of a whole answer."""
    return {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "system_fingerprint": adapter,
        "choices": [_choice(0, text, finish)],
        "usage": usage,
    }


def logged(exchange: Exchange) -> dict[str, Any]:
    """Return the body of an answer that was given earlier, from its log entry."""
    return {
        **completion(
            id=exchange.id,
            created=int(exchange.created_at),
            model=exchange.model,
            adapter=exchange.adapter_id,
            text="",
            finish="",
            usage=usage(exchange.prompt_tokens, exchange.completion_tokens),
        ),
        "choices": [
            _choice(index, str(choice["text"]), str(choice.get("finish_reason") or "stop"))
            for index, choice in enumerate(exchange.choices)
        ],
        "metadata": exchange.tags,
    }


def chunk(
    *,
    id: str,
    created: int,
    model: str,
    adapter: str,
    delta: dict[str, str] | None,
    finish: str | None = None,
    usage: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Return one event of a stream; without a delta it is the closing one that carries usage."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
        "system_fingerprint": adapter,
        "choices": [] if delta is None else [choice],
        **({"usage": usage} if usage is not None else {}),
    }


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return the token counts of one answer."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _choice(index: int, text: str, finish: str) -> dict[str, Any]:
    return {
        "index": index,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        # An answer whose reader left was cut short; OpenAI's word for that is `length`.
        "finish_reason": "length" if finish == "cancelled" else finish,
    }


def _text(message: WireMessage, place: str) -> str:
    if message.content is None:
        raise Invalid(f"`{place}.content` is missing.", param=f"{place}.content")
    if isinstance(message.content, str):
        return message.content
    texts = []
    for index, part in enumerate(message.content):
        if part.type != "text" or part.text is None:
            raise Invalid(
                f"`{place}.content[{index}]` is of type {part.type!r}; this model reads text "
                "alone.",
                param=f"{place}.content[{index}]",
            )
        texts.append(part.text)
    return "".join(texts)
