"""Chainlit's feedback with the steps it is about. Reads only.

Takes the rows of its tables as JSON, `feedbacks` (or `"Feedback"` of the other data layer), `steps` and
`threads`, in one file or several; a row of both joined; and whole threads with their steps within.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from feedback.formats import conversation
from feedback.formats.join import VOTE, Bench, ident, joined, when
from feedback.formats.json_rows import Row
from feedback.formats.records import Chat, Entry, Said, Unusable, Vote
from feedback.formats.source import Source

NAME = "chainlit"
ARRAYS = frozenset({"feedbacks", "Feedback", "feedback", "steps", "Step", "threads", "Thread"})
STEP = "step"
THREAD = "thread"
MOST_STEPS = 2_000
_ROLES = {
    "user_message": "user",
    "USER_MESSAGE": "user",
    "system_message": "system",
    "assistant_message": "assistant",
}
_ANSWERS = frozenset({"assistant_message", "llm", "run"})


def entries(sources: Iterable[Source]) -> Iterator[Entry]:
    """Read the rows of Chainlit's tables, in any order."""
    return joined(NAME, sources, sort, read, ARRAYS)


def sort(row: Row) -> Iterator[tuple[Row, str, str | None, str | None]]:
    """Take a row apart: a vote, a step, a thread, or several of them in one."""
    value = row.value
    if not isinstance(value, dict):
        raise Unusable("not an object", type(value).__name__)
    if isinstance(value.get("steps"), list):
        yield row, THREAD, ident(value, "id"), None
        for step in value["steps"]:
            if isinstance(step, dict):
                whole = {"threadId": value.get("id"), **step}
                yield from sort(Row(row.place, whole))
        return
    about = ident(value, "forId", "stepId")
    if about is not None and "value" in value:
        yield row, VOTE, ident(value, "id"), about
        if "output" in value:
            yield Row(row.place, {**value, "id": about}), STEP, about, ident(value, "threadId")
    elif "threadId" in value and "type" in value:
        yield row, STEP, ident(value, "id"), ident(value, "threadId")
        nested = value.get("feedback")
        if isinstance(nested, dict) and nested.get("value") is not None:
            vote = {"forId": value.get("id"), "threadId": value["threadId"], **nested}
            yield Row(row.place, vote), VOTE, ident(nested, "id"), None
    elif "userId" in value or "userIdentifier" in value or "createdAt" in value:
        yield row, THREAD, ident(value, "id"), None
    else:
        raise Unusable("neither feedback nor a step nor a thread")


def read(row: Any, bench: Bench) -> Said:
    """Read one vote.

    Raises:
        Unusable: it says nothing, or its thread does not hold what was asked.
    """
    about = ident(row, "forId", "stepId")
    if about is None:
        raise Unusable("it does not say what it is about")
    name = ident(row, "id") or about
    words = _words(row)
    chat = _chat(about, row, bench)
    at = when(row, "createdAt", "created_at") or chat.created_at
    return (chat,), (Vote(f"{NAME}:{name}", chat.source_id, words, chat.user, at),)


def _words(row: dict[str, Any]) -> dict[str, Any]:
    value = row.get("value")
    if isinstance(value, str):
        value = {"1": 1, "0": 0, "-1": -1, "1.0": 1, "0.0": 0}.get(value.strip(), value)
    # 0 is a thumb down, and was -1 in early versions.
    if isinstance(value, str) or value not in (1, 0, -1):
        raise Unusable("the value is neither 1 nor 0", repr(value)[:40])
    words: dict[str, Any] = {"rating": "up" if value == 1 else "down"}
    comment = row.get("comment")
    if isinstance(comment, str) and comment.strip():
        words["comment"] = comment
    return words


def _chat(about: str, row: dict[str, Any], bench: Bench) -> Chat:
    step = bench.one(STEP, about)
    if step is None:
        return Chat(f"{NAME}:{about}", completion_ids=(about,))
    thread_id = ident(step, "threadId") or ident(row, "threadId")
    thread = bench.one(THREAD, thread_id) or {}
    steps = bench.all_of(STEP, thread_id, MOST_STEPS) if thread_id else []
    asked = ident(step, "input")
    messages = _before(step, steps)
    if not any(message["role"] == "user" for message in messages) and asked:
        messages = conversation.prompt(asked)
    answer = _answer(step, steps)
    generation = conversation.unwrapped(step.get("generation"))
    model = generation.get("model") if isinstance(generation, dict) else None
    return Chat(
        f"{NAME}:{about}",
        tuple(conversation.asked(messages)),
        answer,
        completion_ids=(about,),
        user=ident(thread, "userIdentifier", "userId") or ident(row, "userIdentifier", "userId"),
        model=model if isinstance(model, str) else None,
        conversation_id=thread_id,
        created_at=when(step, "end", "createdAt", "start"),
    )


def _before(step: dict[str, Any], steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of the thread up to a step, in the order of their times."""
    ordered = sorted(steps, key=_time)
    names = [each.get("id") for each in ordered]
    end = names.index(step.get("id")) if step.get("id") in names else len(ordered)
    return [
        {"role": _ROLES[str(each["type"])], "content": content}
        for each in ordered[:end]
        if str(each.get("type")) in _ROLES
        and isinstance(content := each.get("output"), str)
        and content
    ]


def _answer(step: dict[str, Any], steps: list[dict[str, Any]]) -> str:
    """A step's text; people may rate the run around an answer instead of the answer."""
    said = step.get("output")
    if step.get("type") == "run" and not (isinstance(said, str) and said.strip()):
        children = [each for each in steps if each.get("parentId") == step.get("id")]
        said = next(
            (
                each.get("output")
                for each in sorted(children, key=_time, reverse=True)
                if str(each.get("type")) in _ANSWERS
            ),
            None,
        )
    if step.get("type") == "user_message":
        raise Unusable("about a question, not about an answer")
    if not isinstance(said, str) or not said.strip():
        raise Unusable("the answer is empty")
    return said


def _time(step: dict[str, Any]) -> float:
    return when(step, "createdAt", "start", "end") or 0.0
