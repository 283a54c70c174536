"""TensorZero's feedback with the inferences it is about. Reads only.

Takes rows of BooleanMetricFeedback, FloatMetricFeedback, CommentFeedback and DemonstrationFeedback,
and of ChatInference. A demonstration is a correction. Ids are UUIDs of version 7, which tell the time
(RFC 9562, section 5.7).
"""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from feedback.formats import conversation, score
from feedback.formats.join import VOTE, Bench, first, ident, joined, when
from feedback.formats.json_rows import Row
from feedback.formats.records import Chat, Entry, Said, Unusable, Vote
from feedback.formats.source import Source

NAME = "tensorzero"
INFERENCE = "inference"
ARRAYS = frozenset({"data", "feedback", "inferences"})


def entries(sources: Iterable[Source], *, scale: int | None = None) -> Iterator[Entry]:
    """Read feedback and inferences, in any order.

    Args:
        sources: exports of either.
        scale: the largest number of a numeric rating, counted from 1.
    """
    return joined(NAME, sources, sort, lambda row, bench: read(row, bench, scale), ARRAYS)


def sort(row: Row) -> Iterator[tuple[Row, str, str | None, str | None]]:
    """Tell feedback and inferences apart."""
    value = row.value
    if not isinstance(value, dict):
        raise Unusable("not an object", type(value).__name__)
    if "value" in value:
        yield row, VOTE, ident(value, "id"), None
    elif "input" in value and "output" in value:
        name = ident(value, "id", "inference_id")
        yield row, INFERENCE, name, ident(value, "episode_id")
    else:
        raise Unusable("neither feedback nor an inference")


def read(row: Any, bench: Bench, scale: int | None) -> Said:
    """Read one piece of feedback.

    Raises:
        Unusable: it says nothing, or not what it is about.
    """
    about = ident(row, "inference_id", "target_id")
    if about is None:
        raise Unusable("it does not say what it is about")
    value = conversation.unwrapped(row.get("value"))
    if row.get("metric_name") is not None:
        words = score.said(str(row["metric_name"]), value, scale=scale)
    elif "inference_id" in row:
        words = {"correction": conversation.answer(value)}
    elif isinstance(value, str) and value.strip():
        words = {"comment": value}
    else:
        raise Unusable("an empty remark")
    chat = _chat(about, bench)
    name = ident(row, "id") or about
    tags = row.get("tags")
    user = ident(tags, "user", "user_id") if isinstance(tags, dict) else None
    at = when(row, "timestamp") or _time_of(name)
    return (chat,), (Vote(f"{NAME}:{name}", chat.source_id, words, user or chat.user, at),)


def _chat(about: str, bench: Bench) -> Chat:
    found = bench.one(INFERENCE, about) or bench.last_of(INFERENCE, about)
    if found is None:
        return Chat(f"{NAME}:{about}", completion_ids=(about,))
    name = ident(found, "id", "inference_id") or about
    messages = _messages(found.get("input"))
    answer = conversation.answer(found.get("output"))
    if not answer.strip():
        raise Unusable("the answer is empty")
    tags = found.get("tags")
    return Chat(
        f"{NAME}:{name}",
        tuple(conversation.asked(messages)),
        answer,
        completion_ids=(name,),
        user=ident(tags, "user", "user_id") if isinstance(tags, dict) else None,
        model=ident(found, "variant_name"),
        conversation_id=ident(found, "episode_id"),
        created_at=when(found, "timestamp") or _time_of(name),
    )


def _messages(value: Any) -> list[dict[str, Any]]:
    found = conversation.unwrapped(value)
    messages = conversation.prompt(found)
    system = first(found, "system") if isinstance(found, dict) else None
    if isinstance(system, str):
        messages = [{"role": "system", "content": system}, *messages]
    return messages


def _time_of(name: str) -> float | None:
    try:
        made = UUID(name)
    except ValueError:
        return None
    return (made.int >> 80) / 1000 if made.version == 7 else None
