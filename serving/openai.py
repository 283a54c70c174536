"""What clients of OpenAI's API may ask, as far as Heed speaks it.

Shapes: https://platform.openai.com/docs/api-reference/chat. A known field that cannot be honoured
is refused and named; a field that OpenAI does not know is let through. Knows nothing of answers
(see `serving.openai_replies`) or of HTTP.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from feedback.errors import Invalid
from serving.engines.base import ConstraintKind, Feature, Sampling
from serving.openai_messages import WireMessage
from serving.openai_shapes import ResponseFormat, check_tools
from serving.settings import ServingSettings
from serving.tool_choice import Calls, calls_of

NOT_HONOURED: dict[str, tuple[Any, ...]] = {
    "logit_bias": (None, {}),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
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


class StreamOptions(BaseModel):
    """What a stream carries besides the answer."""

    include_usage: bool | None = None


class Asking(BaseModel):
    """What chats and completions have in common."""

    model_config = ConfigDict(extra="allow")
    not_honoured: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    model: str = Field(
        min_length=1, max_length=200, description="`heed`, `base`, or the id of an adapter."
    )
    max_tokens: int | None = Field(None, gt=0, description="The answer ends after so many tokens.")
    temperature: float | None = Field(None, ge=0, le=2, description="0 takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus mass kept.")
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="Taken off every token that the answer holds already."
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="Taken off once for each time the answer holds a token."
    )
    n: int | None = Field(None, ge=1, le=4, description="So many answers to the one prompt.")
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

    def check_honoured(self, features: Collection[Feature]) -> None:
        """Refuse known fields that ask for something that is not done here.

        Args:
            features: what this engine can do besides answering.

        Raises:
            Invalid: names the field.
        """
        for name, neutral in self.not_honoured.items():
            value = (self.model_extra or {}).get(name)
            if value not in neutral:
                raise Invalid(
                    f"`{name}` is not supported here; leave it out (or send {neutral[-1]!r}).",
                    param=name,
                )
        wanted: dict[str, tuple[Feature, object]] = {
            "presence_penalty": ("penalties", self.presence_penalty),
            "frequency_penalty": ("penalties", self.frequency_penalty),
            "logprobs": ("logprobs", self.logprobs_told is not None),
        }
        for name, (feature, value) in wanted.items():
            if value and feature not in features:
                raise Invalid(
                    f"`{name}` is not supported by this engine; leave it out.", param=name
                )

    def sampling(self, settings: ServingSettings, *, room_tokens: int) -> Sampling:
        """Return how to draw the answer.

        Args:
            settings: the defaults for what the request leaves open.
            room_tokens: what the prompt leaves of the context.

        Raises:
            Invalid: more than four stop strings or an empty one, or a limit beyond the context.
        """
        field, limit = self.limit
        if limit is not None and limit > room_tokens:
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
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            top_logprobs=self.logprobs_told,
        )

    @property
    def limit(self) -> tuple[str, int | None]:
        """The field that limits the answer, and its value."""
        return "max_tokens", self.max_tokens

    @property
    def logprobs_told(self) -> int | None:
        """How many alternatives to tell with each token; None tells no log-probabilities."""
        return None

    @property
    def stops(self) -> list[str]:
        """The strings before which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def who(self) -> str | None:
        """The end user's name as the client gave it."""
        return self.safety_identifier or self.user


class ChatRequest(Asking):
    """The body of ``POST /v1/chat/completions``."""

    not_honoured: ClassVar[Mapping[str, tuple[Any, ...]]] = NOT_HONOURED

    messages: list[WireMessage] = Field(
        min_length=1, max_length=2048, description="The conversation; the last one is answered."
    )
    max_completion_tokens: int | None = Field(
        None, gt=0, description="The newer name of max_tokens."
    )
    logprobs: bool | None = Field(None, description="Tell each token's log-probability.")
    top_logprobs: int | None = Field(
        None, ge=0, le=20, description="Tell so many of the likeliest tokens at each place."
    )
    response_format: ResponseFormat | None = Field(
        None, description="`json_object` or `json_schema`: the answer can be nothing else."
    )
    tools: list[dict[str, Any]] | None = Field(
        None, max_length=128, description="Functions that the model may ask to be called."
    )
    tool_choice: Any = Field(
        None, description="`auto`, `none`, `required`, or the one function that is to be called."
    )
    parallel_tool_calls: bool | None = Field(
        None, description="false: at most one call in an answer."
    )

    def check_honoured(self, features: Collection[Feature]) -> None:
        """As for every request, and what only chats can ask for."""
        super().check_honoured(features)
        if self.top_logprobs is not None and not self.logprobs:
            raise Invalid("`top_logprobs` needs `logprobs` to be true.", param="top_logprobs")
        check_tools(self.tools or [])
        calls = self.calls
        if self.tools and "tools" not in features:
            raise Invalid(
                "`tools` needs a model whose chat template speaks of tools, and this one's does "
                "not; leave them out.",
                param="tools",
            )
        if calls.field is not None and "structured" not in features:
            raise Invalid(
                f"`{calls.field}` cannot be honoured by this engine; leave it out.",
                param=calls.field,
            )
        if self.structure is not None and "structured" not in features:
            raise Invalid(
                "`response_format` is not supported by this engine; leave it out.",
                param="response_format",
            )
        if self.structure is not None and calls.offered:
            raise Invalid(
                "`response_format` and `tools` cannot be combined here: an answer that has to be "
                "JSON could not call one.",
                param="response_format",
            )

    @property
    def structure(
        self,
    ) -> tuple[Literal["json_object", "json_schema"], dict[str, Any] | None] | None:
        """The kind and schema of what the answer has to be."""
        wanted = self.response_format
        if wanted is None or wanted.type == "text":
            return None
        return wanted.type, wanted.json_schema.schema_ if wanted.json_schema else None

    @property
    def calls(self) -> Calls:
        """What is asked of calls.

        Raises:
            Invalid: `tool_choice` makes no sense.
        """
        return calls_of(self.tools or [], self.tool_choice, self.parallel_tool_calls)

    @property
    def constraint(self) -> tuple[ConstraintKind, dict[str, Any] | None] | None:
        """What the engine has to hold the answer to; see `serving.engines.base.Engine`."""
        calls = self.calls
        return self.structure or (("tool_calls", calls.constraint) if calls.field else None)

    @property
    def limit(self) -> tuple[str, int | None]:
        """The field that limits the answer, and its value."""
        if self.max_completion_tokens:
            return "max_completion_tokens", self.max_completion_tokens
        return super().limit

    @property
    def logprobs_told(self) -> int | None:
        """How many alternatives to tell with each token; None tells no log-probabilities."""
        return self.top_logprobs or 0 if self.logprobs else None


class CompletionRequest(Asking):
    """The body of ``POST /v1/completions``: a text to be continued as it stands."""

    not_honoured: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "echo": (None, False),
        "suffix": (None, ""),
        "best_of": (None, 1),
        "logit_bias": (None, {}),
    }

    prompt: str | list[str] = Field(description="One text, or a list of one.")
    logprobs: int | None = Field(
        None, ge=0, le=5, description="Tell log-probabilities, with so many alternatives."
    )

    @property
    def text(self) -> str:
        """The text to continue.

        Raises:
            Invalid: there is not exactly one.
        """
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if len(prompts) != 1:
            raise Invalid(
                f"`prompt` holds {len(prompts):,} texts; send one request for each.",
                param="prompt",
            )
        return prompts[0]

    @property
    def logprobs_told(self) -> int | None:
        """How many alternatives to tell with each token; None tells no log-probabilities."""
        return self.logprobs


def of_choice(sampling: Sampling, index: int) -> Sampling:
    """Return how to draw one of several answers: the first as if alone, each with its own seed."""
    if index == 0 or sampling.seed is None:
        return sampling
    digest = hashlib.sha256(f"{sampling.seed}:{index}".encode()).digest()
    return replace(sampling, seed=int.from_bytes(digest[:8]) >> 1)
