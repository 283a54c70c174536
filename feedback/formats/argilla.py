"""Argilla's records, flat or nested, with what annotators answered. Reads only.

Flat, a question is the columns `<question>.responses`, `.responses.users` and `.responses.status`. Only
submitted responses count; suggestions are a model's.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from feedback.formats import content, conversation, score
from feedback.formats.records import Chat, Entry, Said, Unusable, Vote
from feedback.formats.rowwise import each
from feedback.formats.shapes import moment
from feedback.formats.source import Source

NAME = "argilla"
ARRAYS = frozenset({"records", "items", "data"})
PROMPTS = ("prompt", "instruction", "question", "query", "input", "messages", "chat", "context")
ANSWERS = ("response", "answer", "completion", "output", "generation", "reply")
RATING_SCALE = 5
"""Argilla's own default for a rating."""
_CORRECTION = re.compile(
    r"correct|rewrit|improve|edit|better|respon|answer|completion", re.IGNORECASE
)
_RESPONSES = ".responses"


def entries(sources: Iterable[Source], *, scale: int | None = None) -> Iterator[Entry]:
    """Read records.

    Args:
        sources: exports, flat or nested.
        scale: the largest number of a rating, counted from 1; 5 by default.
    """
    return each(NAME, sources, lambda row: read(row, scale or RATING_SCALE), ARRAYS)


def read(row: Any, scale: int = RATING_SCALE) -> Said:
    """Read one record: a vote for every annotator and question.

    Raises:
        Unusable: nobody answered, or the record holds no prompt and answer.
    """
    if not isinstance(row, dict):
        raise Unusable("not an object", type(row).__name__)
    nested = row.get("fields")
    fields: dict[str, Any] = nested if isinstance(nested, dict) else row
    told = list(_told(row))
    if not told:
        raise Unusable("no annotator has submitted a response")
    messages, answers = _texts(fields)
    name = row.get("_server_id") or row.get("id")
    own = f"{NAME}:{name}" if isinstance(name, str | int) else content.key(NAME, messages, answers)
    at = next((found for key in ("updated_at", "inserted_at") if (found := _time(row, key))), None)
    chats = {
        field: Chat(f"{own}:{field}", tuple(messages), text, created_at=_time(row, "inserted_at"))
        for field, text in answers.items()
    }
    votes = []
    for question, user, value in told:
        about, words, worse = _words(question, value, chats, scale)
        said = Vote(f"{own}:{question}:{user}", about.source_id, words, user, at)
        if worse is not None:
            said = Vote(said.source_id, said.about, words, user, at, worse.source_id)
        votes.append(said)
    return tuple(chats.values()), tuple(votes)


def _told(row: dict[str, Any]) -> Iterator[tuple[str, str | None, Any]]:
    """Every submitted response: question, annotator, value."""
    responses = row.get("responses")
    if isinstance(responses, dict):
        for question, given in responses.items():
            for each_ in given if isinstance(given, list) else [given]:
                if isinstance(each_, dict) and each_.get("status", "submitted") == "submitted":
                    yield str(question), _user(each_.get("user_id")), each_.get("value")
    for column, values in row.items():
        if not column.endswith(_RESPONSES) or not isinstance(values, list):
            continue
        users = row.get(f"{column}.users")
        status = row.get(f"{column}.status")
        for index, value in enumerate(values):
            if _at(status, index, "submitted") == "submitted" and value is not None:
                yield column.removesuffix(_RESPONSES), _user(_at(users, index, None)), value


def _texts(fields: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The conversation, and the answers by their field: there are several where people compare."""
    asked = next((fields[name] for name in PROMPTS if fields.get(name)), None)
    answers = {
        name: value
        for name, value in fields.items()
        if isinstance(value, str)
        and value.strip()
        and re.fullmatch(rf"(?:{'|'.join(ANSWERS)})s?[-_ ]?\w{{0,3}}", name.lower())
    }
    if asked is None:
        raise Unusable("no field holds a prompt", ", ".join(map(str, fields))[:120])
    messages = conversation.turns(asked)
    if not answers:
        messages, answer = conversation.split(messages)
        answers = {"chat": answer}
    return conversation.asked(messages), answers


def _words(
    question: str, value: Any, chats: dict[str, Chat], scale: int
) -> tuple[Chat, dict[str, Any], Chat | None]:
    """What one response says: about which answer, what, and over which other answer."""
    about = next(iter(chats.values()))
    if isinstance(value, list) and all(isinstance(each_, dict) for each_ in value) and value:
        ranked = [each_ for each_ in value if isinstance(each_.get("rank"), int)]
        ranked.sort(key=lambda each_: int(each_["rank"]))
        found = [chats.get(_field(each_.get("value"), chats)) for each_ in ranked]
        known = [chat for chat in found if chat is not None]
        if len(known) > 1 and ranked[0]["rank"] < ranked[-1]["rank"]:
            return known[0], {}, known[-1]
        return about, score.survey(question, str(value)), None
    if isinstance(value, list):
        return about, score.survey(question, ", ".join(map(str, value))), None
    if isinstance(value, str) and len(chats) > 1 and (chosen := chats.get(_field(value, chats))):
        others = [chat for chat in chats.values() if chat is not chosen]
        return chosen, {}, others[0]
    if isinstance(value, str) and (" " in value.strip() or _CORRECTION.search(question)):
        if not value.strip():
            raise Unusable("an empty response")
        is_correction = _CORRECTION.search(question) is not None
        return about, {"correction" if is_correction else "comment": value}, None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return about, score.said(question, value, scale=scale if number else None), None


def _field(value: Any, chats: dict[str, Chat]) -> str:
    """The field that an option names: `response-1` is the field `response_1`."""
    wanted = re.sub(r"[-_ ]", "", str(value).casefold())
    return next((name for name in chats if re.sub(r"[-_ ]", "", name.casefold()) == wanted), "")


def _user(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def _at(values: Any, index: int, default: Any) -> Any:
    if isinstance(values, list):
        return values[index] if index < len(values) else default
    return default if values is None else values


def _time(row: dict[str, Any], name: str) -> float | None:
    try:
        return moment(row.get(name))
    except ValueError:
        return None
