"""LangSmith's feedback with the runs it is about. Reads only.

Feedback is what `list_feedback` returns, a run what `list_runs` returns; bulk exports are Parquet and
need to be written as JSON Lines first. What a model or a program judged is no person's word.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from feedback.formats import conversation, score
from feedback.formats.join import VOTE, Bench, ident, joined, when
from feedback.formats.json_rows import Row
from feedback.formats.records import Chat, Entry, Said, Unusable, Vote
from feedback.formats.shapes import Ident, Moment, Shape, shaped
from feedback.formats.source import Source

NAME = "langsmith"
ARRAYS = frozenset({"feedback", "feedbacks", "runs"})
RUN = "run"
_JUDGES = frozenset({"model", "auto_eval", "evaluator"})


class Origin(Shape):
    """Who or what said so."""

    type: str | None = None
    user_id: Ident | None = None
    metadata: dict[str, Any] | None = None


class Feedback(Shape):
    """One piece of feedback."""

    id: Ident
    key: str = ""
    run_id: Ident | None = None
    trace_id: Ident | None = None
    score: float | bool | None = None
    value: float | bool | str | dict[str, Any] | None = None
    comment: str | None = None
    correction: dict[str, Any] | str | None = None
    feedback_source: Origin | None = None
    created_at: Moment = None
    modified_at: Moment = None


def entries(sources: Iterable[Source], *, scale: int | None = None) -> Iterator[Entry]:
    """Read feedback and runs, in any order.

    Args:
        sources: exports of either.
        scale: the largest number of a numeric rating, counted from 1.
    """
    return joined(NAME, sources, sort, lambda row, bench: read(row, bench, scale), ARRAYS)


def sort(row: Row) -> Iterator[tuple[Row, str, str | None, str | None]]:
    """Tell feedback and runs apart."""
    value = row.value
    if not isinstance(value, dict):
        raise Unusable("not an object", type(value).__name__)
    if "run_type" in value or "inputs" in value:
        yield row, RUN, ident(value, "id", "run_id"), ident(value, "trace_id")
    elif "key" in value:
        yield row, VOTE, ident(value, "id"), None
    else:
        raise Unusable("neither feedback nor a run")


def read(row: Any, bench: Bench, scale: int | None) -> Said:
    """Read one piece of feedback.

    Raises:
        Unusable: no person said it, or it says nothing.
    """
    said = shaped(Feedback, row)
    origin = said.feedback_source or Origin()
    if origin.type in _JUDGES:
        raise Unusable("said by an evaluator, not by a person")
    words = _words(said, scale)
    chat = _chat(said, bench)
    voice = origin.user_id or chat.user
    at = said.modified_at or said.created_at
    return (chat,), (Vote(f"{NAME}:{said.id}", chat.source_id, words, voice, at),)


def _words(said: Feedback, scale: int | None) -> dict[str, Any]:
    words: dict[str, Any] = {}
    value = said.score if said.score is not None else said.value
    if isinstance(value, dict):
        value = None
    if value is not None and value != "":
        words |= score.said(said.key, value, scale=scale)
    if said.correction:
        words["correction"] = conversation.answer(said.correction)
    if said.comment and said.comment.strip():
        words["comment"] = said.comment
    if not words:
        raise Unusable("it says nothing: no score, no value, no comment, no correction")
    return words


def _chat(said: Feedback, bench: Bench) -> Chat:
    name = said.run_id or said.trace_id
    if name is None:
        raise Unusable("about a whole project or an experiment, not about an answer")
    run = bench.one(RUN, name)
    if run is None:
        return Chat(f"{NAME}:{name}", completion_ids=(name,))
    messages = conversation.asked(conversation.prompt(run.get("inputs")))
    answer = conversation.answer(run.get("outputs"))
    if not answer.strip():
        raise Unusable("the answer is empty")
    extra = run.get("extra")
    metadata = extra.get("metadata") if isinstance(extra, dict) else None
    about = metadata if isinstance(metadata, dict) else {}
    return Chat(
        f"{NAME}:{name}",
        tuple(messages),
        answer,
        completion_ids=(name,),
        user=ident(about, "user_id", "user"),
        model=ident(about, "ls_model_name"),
        conversation_id=ident(about, "session_id", "thread_id", "conversation_id"),
        created_at=when(run, "end_time", "start_time"),
    )
