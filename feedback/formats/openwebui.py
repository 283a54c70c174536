"""Open WebUI's export of its feedback (`feedback-history-export-….json`). Reads only.

The shape is that of `GET /api/v1/evaluations/feedbacks/all/export`: an array of ratings, each with a
snapshot of its chat. The tree in the snapshot gives what was asked, and the other answers to it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Field

from feedback.formats import conversation
from feedback.formats.records import Chat, Entry, Said, Unusable, Vote
from feedback.formats.rowwise import each
from feedback.formats.shapes import Ident, Moment, Number, Shape, moment, shaped
from feedback.formats.source import Source

NAME = "openwebui"
MOST_TURNS = 500
MOST_SIBLINGS = 16


class Details(Shape):
    """The finer rating that people may give: 1 to 10."""

    rating: Number | None = None


class Data(Shape):
    """What was said."""

    rating: int | str | None = None
    model_id: str | None = None
    sibling_model_ids: list[str] | None = None
    reason: str | None = None
    comment: str | None = None
    tags: list[str] | None = None
    details: Details | None = None


class Meta(Shape):
    """What it was said of."""

    model_id: str | None = None
    message_id: Ident | None = None
    chat_id: Ident | None = None


class Row(Shape):
    """One piece of feedback; `details` stands at the root in a third party's files."""

    id: Ident
    user_id: Ident | None = None
    data: Data = Field(default_factory=Data)
    meta: Meta = Field(default_factory=Meta)
    details: Details | None = None
    snapshot: dict[str, Any] | None = None
    created_at: Moment = None
    updated_at: Moment = None


def entries(sources: Iterable[Source]) -> Iterator[Entry]:
    """Read exports."""
    return each(NAME, sources, read)


def read(row: Any) -> Said:
    """Read one piece of feedback.

    Raises:
        Unusable: it says nothing, or its snapshot does not hold what it is about.
    """
    said = shaped(Row, _without_nulls(row))
    words = _words(said)
    at = said.updated_at or said.created_at
    tree = _Tree(said)
    rated = tree.chat(said.meta.message_id) if tree.messages else tree.named()
    siblings = [tree.chat(name) for name in tree.siblings()] if tree.messages else []
    worse = None
    if words.get("rating") == "up":
        shown = said.data.sibling_model_ids or []
        worse = next((chat.source_id for chat in siblings if chat.model in shown), None)
    vote = Vote(f"{NAME}:{said.id}", rated.source_id, words, said.user_id, at, worse)
    return (rated, *siblings), (vote,)


def _without_nulls(row: Any) -> Any:
    """A null object is one that is not there."""
    if not isinstance(row, dict):
        return row
    return {key: value for key, value in row.items() if value is not None}


def _words(row: Row) -> dict[str, Any]:
    said: dict[str, Any] = {}
    rating = str(row.data.rating).strip() if row.data.rating is not None else ""
    if rating in ("1", "+1", "1.0"):
        said["rating"] = "up"
    elif rating in ("-1", "-1.0"):
        said["rating"] = "down"
    elif rating not in ("", "0"):
        raise Unusable("the rating is neither 1 nor -1", rating[:40])
    if row.data.comment and row.data.comment.strip():
        said["comment"] = row.data.comment
    reasons = [row.data.reason, *(row.data.tags or [])]
    kept = [reason[:200] for reason in reasons if reason and reason.strip()]
    if kept:
        said["reasons"] = list(dict.fromkeys(kept))[:20]
    details = row.data.details or row.details
    if details is not None and details.rating is not None:
        said["survey"] = {"details.rating": details.rating}
    if not said:
        raise Unusable("it says nothing: no rating, no comment, no reason")
    return said


class _Tree:
    """The snapshot of one chat."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.rated = row.meta.message_id or ""
        found: Any = row.snapshot or {}
        for key in ("chat", "chat", "history", "messages"):
            found = found.get(key) if isinstance(found, dict) else None
        self.messages: dict[str, Any] = found if isinstance(found, dict) else {}

    def named(self) -> Chat:
        """The rated answer by its name alone: there is no snapshot."""
        if not self.rated:
            raise Unusable("neither a snapshot nor a message id: nobody can say what was rated")
        return Chat(self._source_id(self.rated), completion_ids=(self.rated,))

    def siblings(self) -> list[str]:
        """The other answers to the same question, oldest first."""
        parent = self.messages.get(str(self._message(self.rated).get("parentId"))) or {}
        names = parent.get("childrenIds") if isinstance(parent, dict) else None
        found = []
        for name in names if isinstance(names, list) else []:
            other = self.messages.get(name) if isinstance(name, str) else None
            if name == self.rated or not isinstance(other, dict):
                continue
            if other.get("role") == "assistant" and isinstance(other.get("content"), str):
                found += [name] if other["content"].strip() else []
        return found[:MOST_SIBLINGS]

    def chat(self, name: str | None) -> Chat:
        """One answer with what stands before it."""
        message = self._message(name or "")
        if message.get("role") != "assistant":
            raise Unusable("the rated message is not the assistant's")
        before: list[dict[str, Any]] = []
        seen: set[str] = set()
        parent = message.get("parentId")
        while isinstance(parent, str) and parent not in seen and parent in self.messages:
            if len(seen) == MOST_TURNS:
                raise Unusable(f"a chat of more than {MOST_TURNS} messages")
            seen.add(parent)
            before.append(conversation.turn(self.messages[parent]))
            parent = self.messages[parent].get("parentId")
        before.reverse()
        answer = conversation.text(message.get("content"))
        if not answer.strip():
            raise Unusable("the rated answer is empty")
        model = message.get("model")
        if not isinstance(model, str):
            model = self.row.data.model_id if name == self.rated else None
        return Chat(
            self._source_id(name or ""),
            tuple(conversation.asked(before)),
            answer,
            completion_ids=(name or "",),
            user=self.row.user_id,
            model=model,
            conversation_id=self.row.meta.chat_id,
            created_at=self._at(message),
        )

    def _message(self, name: str) -> dict[str, Any]:
        found = self.messages.get(name)
        if not isinstance(found, dict):
            raise Unusable("the snapshot does not hold the rated answer", name[:80])
        return found

    def _at(self, message: dict[str, Any]) -> float | None:
        try:
            return moment(message.get("timestamp")) or self.row.created_at
        except ValueError:
            return self.row.created_at

    def _source_id(self, name: str) -> str:
        """Message ids are unique within their chat for sure."""
        return f"{NAME}:{self.row.meta.chat_id or self.row.id}:{name}"
