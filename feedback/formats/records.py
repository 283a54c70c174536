"""What every format is turned into: chats, votes about them, and rows that could not be read.

Knows no format, no file and no table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from feedback.formats.source import Source


@dataclass(frozen=True)
class Chat:
    """A prompt and its answer, or only their name.

    Attributes:
        source_id: the format's name and the source's own id of the answer: the same in every
            export, and no other answer's.
        messages: the conversation before the answer; empty where the source only names it.
        answer: the answer; None where the source only names it.
        completion_ids: ids under which Heed may know this answer already.
        user: who asked, as the source names them.
        model: what answered, as the source names it.
        conversation_id: the source's id of the conversation.
        created_at: when it was answered, in Unix seconds.
        steps: the answer's steps, where they were judged one by one.
        lacking: why the source only names it, for the report where Heed does not know it either.
    """

    source_id: str
    messages: tuple[dict[str, Any], ...] = ()
    answer: str | None = None
    completion_ids: tuple[str, ...] = ()
    user: str | None = None
    model: str | None = None
    conversation_id: str | None = None
    created_at: float | None = None
    steps: tuple[str, ...] = ()
    lacking: str | None = None


@dataclass(frozen=True)
class Vote:
    """What somebody said of an answer.

    Attributes:
        source_id: the format's name and the source's own id of the vote.
        about: the `source_id` of a chat of the same item.
        said: fields of `feedback.submission.Submission`: rating, correction, comment …
        user: who said so, as the source names them; None where it does not.
        created_at: when, in Unix seconds.
        preferred_over: the `source_id` of a chat of the same item that is the worse answer.
    """

    source_id: str
    about: str
    said: dict[str, Any]
    user: str | None = None
    created_at: float | None = None
    preferred_over: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a row stands: the file, and its line (or its number within an array), from 1."""

    source: str
    line: int


@dataclass(frozen=True)
class Item:
    """One row: taken whole or not at all."""

    place: Place
    chats: tuple[Chat, ...]
    votes: tuple[Vote, ...]


@dataclass(frozen=True)
class Skipped:
    """One row that was not taken: a reason that many rows may share, and what was special here."""

    place: Place
    reason: str
    detail: str = ""


MOST_REASONS = 100
OTHER_REASONS = "other reasons"

Entry = Item | Skipped
Said = tuple[tuple[Chat, ...], tuple[Vote, ...]]
"""What one row says: its chats, and the votes about them."""


class Unusable(Exception):
    """A row that cannot be taken; becomes a `Skipped` where the row's place is known."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Importer(Protocol):
    """What a format's module offers."""

    def entries(self, sources: Iterable[Source]) -> Iterator[Entry]:
        """Read all sources, one row in memory at a time."""


@dataclass
class Tally:
    """What became of the rows of an import: every row read is in exactly one of the other three."""

    read: int = 0
    imported: int = 0
    duplicates: int = 0
    skipped: int = 0
    exchanges: int = 0
    feedback: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        """Count one row that was not taken."""
        self.read += 1
        self.skipped += 1
        if reason not in self.reasons and len(self.reasons) >= MOST_REASONS:
            reason = OTHER_REASONS
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
