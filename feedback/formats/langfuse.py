"""Langfuse's scores with the observations or traces they are about. Reads only.

Takes scores as the API gives them (camelCase) and as scheduled exports write them (snake_case, folders
`scores/`, `observations_v2/`, `traces/`). What an evaluator said is no person's word.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import AliasChoices, Field

from feedback.formats import conversation, score
from feedback.formats.join import VOTE, Bench, first, ident, joined, when
from feedback.formats.json_rows import Row
from feedback.formats.records import Chat, Entry, Said, Unusable, Vote
from feedback.formats.shapes import Ident, Moment, Shape, shaped
from feedback.formats.source import Source

NAME = "langfuse"
ARRAYS = frozenset({"data", "scores", "observations", "traces"})
OBSERVATION = "observation"
TRACE = "trace"
ANSWERED = "answered"
"""Observations that a model answered, by the trace they belong to."""


def _both(camel: str, snake: str) -> Any:
    return Field(None, validation_alias=AliasChoices(camel, snake))


class Score(Shape):
    """One score."""

    id: Ident
    name: str = ""
    value: float | bool | str | None = None
    string_value: str | None = _both("stringValue", "string_value")
    data_type: str | None = _both("dataType", "data_type")
    source: str | None = None
    comment: str | None = None
    trace_id: Ident | None = _both("traceId", "trace_id")
    observation_id: Ident | None = _both("observationId", "observation_id")
    author: Ident | None = _both("authorUserId", "author_user_id")
    timestamp: Moment = None


def entries(sources: Iterable[Source], *, scale: int | None = None) -> Iterator[Entry]:
    """Read scores, and what they are about.

    Args:
        sources: exports of scores, observations and traces, in any order.
        scale: the largest number of a numeric rating, counted from 1.
    """
    return joined(NAME, sources, sort, lambda row, bench: read(row, bench, scale), ARRAYS)


def sort(row: Row) -> Iterator[tuple[Row, str, str | None, str | None]]:
    """Tell scores, observations and traces apart."""
    value = row.value
    if not isinstance(value, dict):
        raise Unusable("not an object", type(value).__name__)
    trace = ident(value, "trace_id", "traceId")
    if value.get("type") is not None and trace is not None:
        yield row, OBSERVATION, ident(value, "id"), trace
        if value["type"] == "GENERATION":
            yield row, ANSWERED, ident(value, "id"), trace
    elif first(value, "dataType", "data_type", "value", "stringValue", "string_value") is not None:
        yield row, VOTE, ident(value, "id"), trace
    elif "input" in value or "output" in value:
        yield row, TRACE, ident(value, "id"), None
    else:
        raise Unusable("neither a score nor an observation nor a trace")


def read(row: Any, bench: Bench, scale: int | None) -> Said:
    """Read one score.

    Raises:
        Unusable: no person said it, or it says nothing.
    """
    said = shaped(Score, row)
    if said.source == "EVAL":
        raise Unusable("said by an evaluator, not by a person")
    words = _words(said, scale)
    if said.comment and said.comment.strip():
        words.setdefault("comment", said.comment)
    chat = _chat(said, bench)
    voice = said.author or chat.user
    vote = Vote(f"{NAME}:{said.id}", chat.source_id, words, voice, said.timestamp)
    return (chat,), (vote,)


def _words(said: Score, scale: int | None) -> dict[str, Any]:
    kind = (said.data_type or "").upper()
    word = said.string_value or (said.value if isinstance(said.value, str) else None)
    if kind == "CORRECTION" or (said.name == "output" and kind in ("", "TEXT") and word):
        if not word or not word.strip():
            raise Unusable("an empty correction")
        return {"correction": word}
    if kind == "TEXT":
        if not word or not word.strip():
            raise Unusable("an empty remark")
        return {"comment": word}
    if kind == "CATEGORICAL":
        return score.said(said.name, word, scale=scale)
    value = said.value if said.value is not None else word
    if kind == "BOOLEAN" and isinstance(value, int | float):
        return score.said(said.name, bool(value))
    return score.said(said.name, value, scale=scale)


def _chat(said: Score, bench: Bench) -> Chat:
    """What was scored: the observation, or else the trace's last answer, or the trace itself.

    A trace's answer and the observation that gave it are one, whichever of them was scored.
    """
    trace = bench.one(TRACE, said.trace_id) or {}
    about = (
        bench.one(OBSERVATION, said.observation_id)
        if said.observation_id
        else bench.last_of(ANSWERED, said.trace_id) or trace or None
    )
    name = said.observation_id or said.trace_id
    if name is None:
        raise Unusable("about a session or a dataset, not about an answer")
    if about is None:
        return Chat(f"{NAME}:{name}", completion_ids=(name,))
    own = ident(about, "id") or name
    messages = conversation.asked(conversation.prompt(about.get("input")))
    answer = conversation.answer(about.get("output"))
    if not answer.strip():
        raise Unusable("the answer is empty")
    model = first(about, "provided_model_name", "providedModelName", "model")
    return Chat(
        f"{NAME}:{own}",
        tuple(messages),
        answer,
        completion_ids=tuple(each for each in (own, said.trace_id) if each),
        user=ident(trace, "user_id", "userId") or ident(about, "user_id", "userId"),
        model=model if isinstance(model, str) else None,
        conversation_id=ident(trace, "session_id", "sessionId")
        or ident(about, "session_id", "sessionId"),
        created_at=when(about, "end_time", "endTime", "start_time", "startTime", "timestamp"),
    )
