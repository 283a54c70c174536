"""The shape of feedback as it is sent, and its checks. Knows no table.

The field names are those of `POST /v1/feedback`.
"""

import contextlib
import hashlib
import json
import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from feedback.errors import Invalid
from feedback.settings import FeedbackSettings
from feedback.text import checked

Name = Annotated[str, Field(min_length=1, max_length=200)]
# Numbers as JSON has them: true is none, and would be the worst rating of five.
Number = Annotated[float, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
MEASURED = ("dwell", "session_end", "session_length")
"""Signals whose value is a time in seconds."""
_ABOUT = frozenset(("completion_id", "conversation_id", "choice", "event_id", "user", "created_at"))
_NO_STATEMENT = frozenset(("user", "event_id"))
_TEXTS = (
    *("correction", "comment", "user", "completion_id", "conversation_id", "event_id"),
    "preferred_over",
)
_THUMBS = {"up": 1.0, "down": 0.0, None: None}
_CANONICAL = json.JSONEncoder(sort_keys=True).encode
TEACHING = ("rating", "survey", "correction", "comment", "reasons", "preferred_over", "signal")


def _unix_seconds(value: Any) -> Any:
    """Take Unix seconds as they are, and an ISO 8601 time with its offset."""
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("an ISO time needs its offset from UTC, such as 2026-01-31T09:00:00Z")
        return moment.timestamp()
    return value


class Submission(BaseModel):
    """One piece of feedback as a client sends it."""

    model_config = ConfigDict(extra="forbid")

    completion_id: Name | None = Field(None, description="Id of the completion this is about.")
    conversation_id: Name | None = Field(
        None, description="For signals about a whole session: its conversation."
    )
    choice: Whole = Field(0, ge=0, le=127, description="Which of several answers; the first is 0.")
    event_id: Name | None = Field(
        None,
        description="Your id of this event: sent again, it changes nothing. Of two applications that "
        "send here each should begin its ids with a name of its own.",
    )
    user: Name | None = Field(None, description="Who says so; kept as a keyed hash only.")
    created_at: Annotated[Number, BeforeValidator(_unix_seconds)] | None = Field(
        None, ge=0, description="When they said so: Unix seconds or ISO 8601 with offset."
    )
    rating: Literal["up", "down"] | Number | None = Field(
        None, description="`up`, `down`, or a number from 1 to `scale`."
    )
    scale: Whole | None = Field(None, ge=2, le=100, description="Largest number of a rating: 5.")
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
        None,
        description="What they did: copy, regenerate, retry, edit (and sent again), click, dwell, "
        "follow_up, abandon, bounce, session_end, or a name of your own.",
    )
    value: Number | None = Field(
        None, description="Size of the signal: seconds, for dwell and session_end."
    )

    @model_validator(mode="after")
    def _says_something(self) -> "Submission":
        said = [name for name in TEACHING if self.__dict__[name] is not None]
        if self.completion_id is None and self.conversation_id is None:
            raise ValueError("completion_id: name the completion that this is about")
        if not said:
            raise ValueError(f"send at least one of {', '.join(TEACHING)}")
        if self.completion_id is None and not {"signal", "survey"}.issuperset(said):
            raise ValueError(
                "completion_id: only signals and surveys may name a conversation alone"
            )
        self._check_words()
        if isinstance(self.rating, float):
            if self.scale is None:
                raise ValueError("scale: say the largest number that this rating could have been")
            if not 1 <= self.rating <= self.scale:
                raise ValueError(f"rating: must lie between 1 and {self.scale}")
        if self.value is not None:
            self._check_value(self.value)
        answers = (self.survey or {}).values()
        if any(isinstance(answer, float) and not math.isfinite(answer) for answer in answers):
            raise ValueError("survey: numbers must be finite")  # JSON has no others
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
        if self.signal in MEASURED and value < 0:
            raise ValueError("value: seconds cannot be negative")

    @property
    def satisfaction(self) -> float | None:
        """The rating between 0 (worst) and 1 (best)."""
        if self.rating is None or isinstance(self.rating, str):
            return _THUMBS[self.rating]
        return (self.rating - 1) / ((self.scale or 5) - 1)

    def body(self) -> dict[str, Any]:
        """What was said, without who said it, about what, and when."""
        return self._given(_ABOUT)

    def fingerprint(self, person_id: str) -> str:
        """SHA-256 (hex) of everything sent, so that a doubled delivery is told from another."""
        canonical = _CANONICAL([person_id, self._given(_NO_STATEMENT)])
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _given(self, without: frozenset[str]) -> dict[str, Any]:
        """The fields that have a value; flat as they are, ten times faster than a dump."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if value is not None and name not in without
        }

    def check_texts(self, settings: FeedbackSettings) -> None:
        """Refuse text that no store can hold.

        Raises:
            Invalid: a NUL or half a surrogate pair; names the field.
            TooLarge: a text beyond `max_text_bytes`.
        """
        most = settings.max_text_bytes
        for param in _TEXTS:
            text = self.__dict__[param]
            if text is not None:
                checked(text, param, max_bytes=most)
        if self.reasons:
            checked("".join(self.reasons), "reasons", max_bytes=most)
        if self.survey:
            said = "".join(f"{key}{answer}" for key, answer in self.survey.items())
            checked(said, "survey", max_bytes=most)


def parse(data: Any) -> Submission:
    """Read one submission that did not come through a typed route.

    Raises:
        Invalid: names the field at fault.
    """
    try:
        return Submission.model_validate(data)
    except ValidationError as error:
        raise _invalid(error) from error


def parse_json(text: bytes) -> Submission:
    """Read one submission from its JSON.

    Raises:
        Invalid: it is no JSON (half a surrogate pair is none), or names the field at fault.
    """
    try:
        return Submission.model_validate_json(text)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            with contextlib.suppress(ValueError, RecursionError):
                parse(json.loads(text))  # knows which field holds half a surrogate pair
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> Invalid:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Invalid(f"This is not JSON: {first['ctx']['error']}.")
    message, param = first_fault(error)
    return Invalid(message, param=param)


def first_fault(error: Any, *, skip: tuple[str, ...] = ("body",)) -> tuple[str, str | None]:
    """Return the message and the field of a validation error's first fault.

    A check over several fields writes `field: what is wrong`, and the field is read from there.
    """
    fault = error.errors()[0]
    message = str(fault["msg"]).removeprefix("Value error, ")
    place = [str(part) for part in fault["loc"] if part not in skip]
    head, colon, _ = message.partition(": ")
    if not place and colon and head.isidentifier():
        return message, head
    param = place[0] if place else None
    return (f"`{'.'.join(place)}`: {message}" if place else message), param
