"""What is said and what comes back. Knows no request and no file."""

import json
import math
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from heed_client.errors import Invalid

Name = Annotated[str, Field(min_length=1, max_length=200)]
# Numbers as JSON has them: True is none, and would be the worst rating of five.
Number = Annotated[float, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
TEACHING = ("rating", "survey", "correction", "comment", "reasons", "preferred_over", "signal")
_MAY_NAME_A_CONVERSATION = ("signal", "survey")


_MEASURED = ("dwell", "session_end", "session_length")
"""Signals whose value is a time in seconds."""


class About(TypedDict, total=False):
    """Who says it, when, and about which answer, as keyword arguments; see `Feedback`."""

    conversation_id: str | None
    choice: int
    event_id: str | None
    user: str | None
    created_at: float | str | datetime | None


class Said(About, total=False):
    """The fields of `Feedback` besides the completion, as keyword arguments."""

    rating: Literal["up", "down"] | float | None
    scale: int | None
    survey: dict[str, str | float] | None
    correction: str | None
    comment: str | None
    reasons: list[str] | None
    preferred_over: str | None
    signal: str | None
    value: float | None


def _unix_seconds(value: Any) -> Any:
    """Take Unix seconds as they are; an ISO 8601 time or a datetime needs its offset."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError("a time needs its offset from UTC, such as 2026-01-31T09:00:00Z")
    return value.timestamp()


def new_event_id() -> str:
    """Return an id for one event: delivered again under it, the event still counts once."""
    return f"evt_{uuid4().hex}"


class Feedback(BaseModel):
    """One piece of feedback, with the checks that the server would make.

    It gets its `event_id` and its time when it is made, not when it is sent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    completion_id: Name | None = Field(None, description="`id` of the completion.")
    conversation_id: Name | None = Field(
        None, description="For signals and surveys about a whole session: its conversation."
    )
    choice: Whole = Field(0, ge=0, le=127, description="Which of several answers; the first is 0.")
    event_id: Name = Field(default_factory=new_event_id, description="Id of this event.")
    user: Name | None = Field(None, description="Who says so; the server keeps a keyed hash.")
    created_at: Annotated[Number, BeforeValidator(_unix_seconds)] = Field(
        default_factory=time.time, ge=0, allow_inf_nan=False, description="When: Unix seconds."
    )
    rating: Literal["up", "down"] | Number | None = Field(
        None, description="`up`, `down`, or a number from 1 to `scale`."
    )
    scale: Whole | None = Field(None, ge=2, le=100, description="Largest number of a rating.")
    survey: dict[Name, str | Number] | None = Field(
        None, min_length=1, max_length=50, description="Questions and their answers."
    )
    correction: str | None = Field(
        None, min_length=1, description="The answer as it should have been."
    )
    comment: str | None = Field(None, min_length=1, description="A remark.")
    reasons: list[Name] | None = Field(
        None, min_length=1, max_length=20, description="Why, in your own labels."
    )
    preferred_over: Name | None = Field(
        None, description="Id of another completion; this one is the better answer."
    )
    signal: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = Field(
        None, description="What they did: copy, regenerate, retry, edit, click, dwell …"
    )
    value: Number | None = Field(None, description="Size of the signal, e.g. dwell in seconds.")

    @model_validator(mode="after")
    def _makes_sense(self) -> "Feedback":
        said = [name for name in TEACHING if getattr(self, name) is not None]
        if self.completion_id is None and self.conversation_id is None:
            raise ValueError("completion_id: name the completion that this is about")
        if not said:
            raise ValueError(f"send at least one of {', '.join(TEACHING)}")
        if self.completion_id is None and set(said) - set(_MAY_NAME_A_CONVERSATION):
            raise ValueError(
                "completion_id: only signals and surveys may name a conversation alone"
            )
        self._check_words()
        if isinstance(self.rating, float):
            if self.scale is None:
                raise ValueError("scale: say the largest number that this rating could have been")
            if not 1 <= self.rating <= self.scale:
                raise ValueError(f"rating: must lie between 1 and {self.scale}")
        if self.preferred_over is not None and self.preferred_over == self.completion_id:
            raise ValueError("preferred_over: it names the same completion; name the other answer")
        if self.value is not None:
            self._check_value(self.value)
        answers = (self.survey or {}).values()
        if any(isinstance(answer, float) and not math.isfinite(answer) for answer in answers):
            raise ValueError("survey: numbers must be finite")
        for name in type(self).model_fields:
            _check_texts(name, getattr(self, name))
        return self

    def _check_words(self) -> None:
        if self.correction is not None and not self.correction.strip():
            raise ValueError("correction: it is empty; send the answer as it should have been")
        if self.comment is not None and not self.comment.strip():
            raise ValueError("comment: it is empty; leave it out where nothing is remarked")
        if self.reasons and not all(map(str.strip, self.reasons)):
            raise ValueError("reasons: one of them is empty")

    def _check_value(self, value: float) -> None:
        if not math.isfinite(value):
            raise ValueError("value: must be a finite number")
        if self.signal is None:
            raise ValueError("value: belongs to a signal; a rating has its number in `rating`")
        if self.signal in _MEASURED and value < 0:
            raise ValueError("value: seconds cannot be negative")

    def line(self) -> bytes:
        """Return it as the server reads it: one line of JSON in UTF-8, without a line break."""
        said = self.model_dump(exclude_none=True)
        if not self.choice:
            del said["choice"]
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


class Receipt(BaseModel):
    """What became of one piece of feedback.

    `status` is one of waiting, review, used, held_out, refused, withdrawn, forgotten; a newer
    server may know more.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    status: str
    completion_id: str | None = None
    reason: str | None = None
    round: str | None = None
    adapter: str | None = None


class Refusal(BaseModel):
    """A piece of feedback that the server refused for good, and why: a line of `refused.ndjson`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    event: dict[str, Any] | str = Field(description="What was sent; text where it is no JSON.")
    status: int | None = Field(description="The HTTP status of its line.")
    message: str
    param: str | None
    code: str
    refused_at: float = Field(description="Unix seconds.")

    @property
    def event_id(self) -> str | None:
        """Its event id, where it can be read."""
        return self.event.get("event_id") if isinstance(self.event, dict) else None


class Delivered(BaseModel):
    """What one flush achieved."""

    model_config = ConfigDict(frozen=True)

    sent: int = Field(description="Pieces of feedback that the server now has.")
    refused: Sequence[Refusal] = Field(description="Those it will never take.")


def compose(fields: dict[str, Any]) -> Feedback:
    """Return feedback with these fields; None is the same as not said.

    Raises:
        Invalid: it makes no sense; `param` names the field.
    """
    try:
        return Feedback.model_validate(
            {name: value for name, value in fields.items() if value is not None}
        )
    except ValidationError as error:
        fault = error.errors()[0]
        message = str(fault["msg"]).removeprefix("Value error, ")
        if fault["loc"]:
            param = str(fault["loc"][0])
            raise Invalid(f"`{param}`: {message}", param=param) from error
        head, colon, _ = message.partition(": ")
        raise Invalid(message, param=head if colon and head.isidentifier() else None) from error


def _check_texts(name: str, value: Any) -> None:
    """Refuse what no store can hold: NUL characters, and halves of surrogate pairs."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    for text in value if isinstance(value, list) else [value]:
        if not isinstance(text, str):
            continue
        if "\x00" in text:
            raise ValueError(f"{name}: contains a NUL character; remove it")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError(f"{name}: contains half of a surrogate pair; send the whole character")
