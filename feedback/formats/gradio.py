"""Gradio's `log.csv`, as its chat interface writes it when people like an answer. Reads only.

Its header has five names and its rows have four cells, so they are read by position: the conversation
as JSON, the place of the answer in it, what was said, and when.
"""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from feedback.formats import content, conversation
from feedback.formats.json_rows import NOT_JSON, TOO_DEEP, TOO_LARGE, decoded
from feedback.formats.recognise import WrongFormat
from feedback.formats.records import Chat, Entry, Item, Place, Said, Skipped, Unusable, Vote
from feedback.formats.shapes import moment
from feedback.formats.source import Source

NAME = "gradio"
MOST_CELL_CHARACTERS = 8 << 20
_SAID = {"like": "up", "liked": "up", "true": "up", "dislike": "down", "disliked": "down"}
_SAID["false"] = "down"


def entries(sources: Iterable[Source]) -> Iterator[Entry]:
    """Read logs."""
    for source in sources:
        yield from _rows(source)


def read(cells: list[str]) -> Said:
    """Read one row.

    Raises:
        Unusable: it holds no conversation, or does not say which answer it is about.
    """
    if len(cells) not in (4, 5):
        raise Unusable("a row should have four cells", str(len(cells)))
    if len(cells) == 5:  # with the text of the answer, which the conversation holds as well
        cells = [*cells[:2], *cells[3:]]
    try:
        messages = _messages(decoded(cells[0]))
        place = decoded(cells[1])
    except ValueError as error:
        raise Unusable(NOT_JSON, str(error)) from error
    index, paired = (place, False) if isinstance(place, int) else _pair(place)
    if paired and isinstance(index, int):
        index = [at for at, each in enumerate(messages) if each["role"] == "assistant"][index:][:1]
        index = index[0] if index else None
    if not isinstance(index, int) or not 0 <= index < len(messages):
        raise Unusable("it does not say which answer it is about", cells[1][:40])
    before, answer = conversation.split(messages[: index + 1])
    try:
        at = moment(cells[3])
    except ValueError:
        at = None
    word = cells[2].strip()
    if not word:
        raise Unusable("it says nothing")
    rating = _SAID.get(word.casefold())
    said: dict[str, Any] = {"rating": rating} if rating else {"reasons": [word[:200]]}
    chat = Chat(f"{NAME}:{content.key(before, answer)}", tuple(before), answer, created_at=at)
    vote = Vote(f"{NAME}:{content.key(before, answer, word, at)}", chat.source_id, said, None, at)
    return (chat,), (vote,)


def _rows(source: Source) -> Iterator[Entry]:
    source.head()  # says what it is where it is no text
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    table = csv.reader(_texts(source))
    try:
        for number, cells in enumerate(table):
            place = Place(source.name, table.line_num)
            if number == 0:
                if [cell.strip().lower() for cell in cells[:2]] != ["conversation", "index"]:
                    raise WrongFormat(
                        f"{source.name} does not look like {NAME}: its first line does not begin "
                        "with conversation,index."
                    )
                continue
            if not cells:
                continue
            try:
                yield Item(place, *read(cells))
            except Unusable as fault:
                yield Skipped(place, fault.reason, fault.detail)
            except RecursionError:
                yield Skipped(place, TOO_DEEP)
    except csv.Error as error:
        raise WrongFormat(
            f"{source.name} is no CSV near line {table.line_num:,} ({error}). The rows before were "
            "taken."
        ) from error


def _texts(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.lines(MOST_CELL_CHARACTERS), 1):
        if line is None:
            raise WrongFormat(f"{source.name}, line {number:,}: {TOO_LARGE}.")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise WrongFormat(
                f"{source.name}, line {number:,} is not UTF-8. The rows before were taken."
            ) from error


def _messages(value: Any) -> list[dict[str, Any]]:
    """Messages, or pairs of what was said and answered, as early versions wrote them."""
    if isinstance(value, list) and all(isinstance(each, list) and len(each) == 2 for each in value):
        roles = ("user", "assistant")
        return [
            {"role": role, "content": conversation.text(text)}
            for pair in value
            for role, text in zip(roles, pair, strict=True)
            if text is not None
        ]
    return conversation.turns(value)


def _pair(value: Any) -> tuple[Any, bool]:
    """A place in pairs is `[pair, 1]`."""
    return (value[0], True) if isinstance(value, list) and value else (None, False)
