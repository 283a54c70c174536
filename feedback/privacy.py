"""Personal data out of texts: a typed placeholder such as ``<EMAIL>`` stands in its place.

The setting `redaction` says when: before anything is stored, or (the default) before anything is
learned, so that a reviewer still sees what was said while no weight ever does. Knows no database.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from feedback import privacy_patterns, privacy_presidio
from feedback.models import Exchange
from feedback.settings import FeedbackSettings
from feedback.submission import Submission

REMEMBERED_TEXTS = 4096
"""A conversation comes again with every turn; what was looked at is not looked at twice."""
_PLACEHOLDER = re.compile(
    f"<({'|'.join(sorted({*privacy_patterns.KINDS, *privacy_presidio.KINDS}))})>"
)

Json = TypeVar("Json", bound=Any)


def redacted(text: str, settings: FeedbackSettings) -> str:
    """Return a text with placeholders where personal data was; twice is the same as once.

    Raises:
        Unavailable: the redactor that the settings name is not installed.
    """
    return _redacted(text, settings.redactor, tuple(settings.redaction_keep))


def placeholders(text: str) -> tuple[str, ...]:
    """Return the kinds of placeholders in a text: an answer that has one must not be taught."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


def ready(settings: FeedbackSettings) -> None:
    """Load what redacts, so that what is missing is told at the start.

    Raises:
        Unavailable: the redactor that the settings name is not installed.
    """
    if settings.redaction != "off":
        redacted("", settings)


def redacted_json(value: Json, settings: FeedbackSettings) -> Json:
    """Return JSON with every string in it redacted; names of fields stay."""
    made: Any = value
    if isinstance(value, str):
        made = redacted(value, settings)
    elif isinstance(value, list | tuple):
        made = type(value)(redacted_json(each, settings) for each in value)
    elif isinstance(value, dict):
        made = {name: redacted_json(each, settings) for name, each in value.items()}
    return cast(Json, made)


def stored_exchange(exchange: Exchange, settings: FeedbackSettings) -> Exchange:
    """Return an exchange as the settings let it be stored; call it before it becomes a row."""
    if settings.redaction != "storage":
        return exchange
    messages = redacted_json(exchange.messages, settings)
    values = {
        "messages": messages,
        "choices": redacted_json(exchange.choices, settings),
        "sampling": redacted_json(exchange.sampling, settings),
        "tags": redacted_json(exchange.tags, settings),
        # Of what is kept: a hash of the rest would let whoever guesses right know it.
        "prompt_hash": exchange.prompt_hash
        if messages == exchange.messages
        else hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest(),
    }
    return Exchange(**{**exchange.model_dump(), **values})


def stored_submission(submission: Submission, settings: FeedbackSettings) -> Submission:
    """Return a submission as the settings let it be stored; call it before it is looked at."""
    if settings.redaction != "storage":
        return submission
    texts = {"correction", "comment", "reasons", "survey"}
    said = submission.model_dump(include=texts, exclude_none=True)
    if "survey" in said:  # what a person typed may stand in the question as well
        said["survey"] = {
            redacted(question, settings): redacted_json(answer, settings)
            for question, answer in said["survey"].items()
        }
    return submission.model_copy(update=redacted_json(said, settings))


def stored_text(text: str | None, settings: FeedbackSettings) -> str | None:
    """Return a text as the settings let it be stored."""
    return redacted(text, settings) if text and settings.redaction == "storage" else text


@lru_cache(REMEMBERED_TEXTS)
def _redacted(text: str, redactor: str, keep: Sequence[str]) -> str:
    find = privacy_presidio.find if redactor == "presidio" else privacy_patterns.find
    made, at = [], 0
    # Of pieces that overlap the first counts, and of those that start together the longest.
    for start, end, kind in sorted(find(text), key=lambda span: (span.start, -span.end)):
        if start < at or _is_kept(text[start:end], keep):
            continue
        made += [text[at:start], f"<{kind}>"]
        at = end
    return "".join([*made, text[at:]])


def _is_kept(said: str, keep: Sequence[str]) -> bool:
    plain = _plain(said)
    return any(
        plain == _plain(each) or (each.startswith("@") and plain.endswith(_plain(each)))
        for each in keep
    )


def _plain(said: str) -> str:
    """Numbers are written with other gaps each time."""
    return re.sub(r"[\s()./-]", "", said.casefold()) if "@" not in said else said.casefold()
