"""A conversation as the chat page holds it: what was asked and answered, and the next answer.

Asks the way the API does, so that every answer is admitted, answered and logged like any other.
Draws nothing.
"""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any

from feedback.conversations import Turn
from feedback.errors import Unavailable
from feedback.submission import Submission
from serving.admission import admit, check_room
from serving.answering import Asked
from serving.auth import Caller
from serving.context import Heed
from serving.engines.base import Chunk
from serving.openai import ChatRequest
from serving.responding import events
from serving.routes.feedback import submit
from serving.routes.tokens import TokenRequest, issue
from serving.routing import MODEL
from serving.tokens import MOST_SECONDS
from serving.wording import Event

AGAIN_TEMPERATURE = 0.8
"""An answer is asked for again to get another one; drawn greedily it would be the same."""


@dataclass
class Answer:
    """One answer: its id is the completion's, once it has one."""

    id: str = ""
    adapter: str = ""
    text: str = ""
    state: str = "complete"


@dataclass
class Round:
    """A question with its answers; the conversation goes on from the chosen one."""

    question: str
    answers: list[Answer] = field(default_factory=list)
    chosen: int = 0
    preferred: str | None = None

    @property
    def answer(self) -> Answer:
        """What the next question follows on."""
        return self.answers[self.chosen]


class Plain:
    """See `Wording`: the text alone."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def whole(self) -> Event:
        """Everything at once."""
        return {"text": self._asked.choices[0].text}

    def opening(self) -> Iterator[Event]:
        """Which version answers, and under which id."""
        yield {"id": self._asked.exchange_id, "adapter": self._asked.adapter}

    def piece(self, index: int, chunk: Chunk) -> Iterator[Event]:
        """New text."""
        if chunk.text:
            yield {"text": chunk.text}

    def closing(self) -> Iterator[Event]:
        """Nothing."""
        yield from ()


def restored(turns: list[Turn]) -> list[Round]:
    """Return a conversation as it was logged; it goes on from what was preferred, or came last."""
    rounds = []
    for turn in turns:
        answers = [
            Answer(row.id, row.adapter_id, str(row.choices[0]["text"]), row.state)
            for row in turn.answers
            if row.choices
        ]
        if not answers:
            continue
        made = Round(turn.question, answers, chosen=len(answers) - 1)
        for at, each in enumerate(answers):
            if each.id in turn.preferred:
                made.chosen, made.preferred = at, each.id
        rounds.append(made)
    return rounds


async def answered(
    parts: Heed,
    who: Caller,
    *,
    conversation_id: str,
    rounds: list[Round],
    question: str,
    answer: Answer,
    again: bool = False,
) -> AsyncGenerator[None, None]:
    """Answer a question after what was said before, piece by piece; `answer` grows meanwhile.

    Whoever stops listening leaves a partial answer, which is logged as one.

    Raises:
        HeedError: it cannot be answered, or not to its end.
    """
    messages: list[dict[str, Any]] = []
    for each in rounds:
        messages.append({"role": "user", "content": each.question})
        messages.append({"role": "assistant", "content": each.answer.text})
    messages.append({"role": "user", "content": question})
    fields: dict[str, Any] = {"temperature": AGAIN_TEMPERATURE} if again else {}
    body = ChatRequest.model_validate(
        {
            "model": MODEL,
            "messages": messages,
            "stream": True,
            "metadata": {"conversation_id": conversation_id},
            **fields,
        }
    )
    check_room(parts)
    asked = await admit(body, {}, parts, who)
    told = events(asked, Plain(asked), _as_it_is)
    answer.state = "partial"
    try:
        async for event in told:
            if event is None:
                continue
            if "error" in event:
                raise Unavailable(str(event["error"]["message"]))
            answer.id = event.get("id", answer.id)
            answer.adapter = event.get("adapter", answer.adapter)
            answer.text += event.get("text", "")
            yield
        answer.state = "complete"
    finally:
        await told.aclose()


def token(parts: Heed, who: Caller, answer: Answer) -> str:
    """Return what lets the widget in the page speak of this answer, for a day.

    Raises:
        NotFound: it is not on record.
    """
    wanted = TokenRequest(completion_id=answer.id, expires_in_seconds=MOST_SECONDS)
    return str(issue(wanted, parts, who)["token"])


async def prefer(parts: Heed, who: Caller, better: Answer, other: Answer) -> None:
    """Take down which of two answers to one question is the better one."""
    await submit(parts, who, Submission(completion_id=better.id, preferred_over=other.id))


async def notice(parts: Heed, who: Caller, answer: Answer, signal: str) -> None:
    """Take down what somebody did with an answer, as the widget does."""
    if answer.id:
        await submit(parts, who, Submission(completion_id=answer.id, signal=signal))


def _as_it_is(event: Event | None) -> Event | None:
    return event
