"""How answers become the bodies and events of chats and of bare completions. Pure."""

from collections.abc import Iterator
from typing import Any, Protocol

from serving import openai_replies
from serving.answering import Asked
from serving.engines.base import Chunk
from serving.tool_calls import CallStream

Event = dict[str, Any]


class Wording(Protocol):
    """One response's; holds what of a stream has been said."""

    def whole(self) -> Event:
        """The body of a response that is no stream."""

    def opening(self) -> Iterator[Event]:
        """What a stream begins with."""

    def piece(self, index: int, chunk: Chunk) -> Iterator[Event]:
        """What a piece of an answer adds; the answer itself has it already."""

    def closing(self) -> Iterator[Event]:
        """The end of each answer, and what the whole has cost where that was asked for."""


class Chat:
    """See `Wording`; of chat completions."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._told = asked.body.logprobs_told is not None
        self._held = [CallStream() for _ in asked.choices] if asked.calls_tools else []

    def whole(self) -> Event:
        """A chat.completion."""
        asked = self._asked
        return openai_replies.completion(
            asked.head(), asked.choices, asked.usage(), logprobs=self._told
        )

    def opening(self) -> Iterator[Event]:
        """Each choice begins with its role."""
        for choice in self._asked.choices:
            delta = {"role": "assistant", "content": ""}
            yield openai_replies.chunk(self._asked.head(), choice.index, delta)

    def piece(self, index: int, chunk: Chunk) -> Iterator[Event]:
        """New text, as far as it can be no call of a tool; or the calls, at the end."""
        text, choice = chunk.text, self._asked.choices[index]
        if self._held:
            text = self._held[index].feed(text)
            if chunk.finish_reason and not choice.calls:
                text += self._held[index].finish()
        if text or chunk.logprobs:
            delta = {"content": text} if text else {}
            logprobs = chunk.logprobs if self._told else None
            yield openai_replies.chunk(self._asked.head(), index, delta, logprobs=logprobs)
        if chunk.finish_reason and choice.calls:
            calls = [{"index": at, **call} for at, call in enumerate(choice.calls)]
            yield openai_replies.chunk(self._asked.head(), index, {"tool_calls": calls})

    def closing(self) -> Iterator[Event]:
        """Each choice's reason to end; then the token counts."""
        head = self._asked.head()
        for choice in self._asked.choices:
            yield openai_replies.chunk(head, choice.index, finish=choice.finish)
        if _wants_usage(self._asked):
            yield openai_replies.chunk(head, None, usage=self._asked.usage())


class Text:
    """See `Wording`; of completions of a bare text."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._told = asked.body.logprobs_told is not None
        self._offsets = [0] * len(asked.choices)

    def whole(self) -> Event:
        """A text_completion."""
        asked = self._asked
        return openai_replies.text_completion(
            asked.head(), asked.choices, asked.usage(), logprobs=self._told
        )

    def opening(self) -> Iterator[Event]:
        """Nothing: there are no roles."""
        yield from ()

    def piece(self, index: int, chunk: Chunk) -> Iterator[Event]:
        """New text."""
        if chunk.text or chunk.logprobs:
            yield openai_replies.text_chunk(
                self._asked.head(),
                index,
                chunk.text,
                logprobs=chunk.logprobs if self._told else None,
                offset=self._offsets[index],
            )
            self._offsets[index] += len(chunk.text)

    def closing(self) -> Iterator[Event]:
        """Each choice's reason to end; then the token counts."""
        head = self._asked.head()
        for choice in self._asked.choices:
            yield openai_replies.text_chunk(head, choice.index, finish=choice.finish)
        if _wants_usage(self._asked):
            yield openai_replies.text_chunk(head, None, usage=self._asked.usage())


def _wants_usage(asked: Asked) -> bool:
    options = asked.body.stream_options
    return options is not None and bool(options.include_usage)
