"""What modules without torch need of a model, in parts; `trainer.policy.Policy` has them all."""

from collections.abc import Sequence
from typing import Protocol

from trainer.examples import Message

Rows = Sequence[tuple[Sequence[Message], str]]
"""Conversations, each with an answer."""


class Fits(Protocol):
    """Knows its context."""

    def fits(self, rows: Rows, *, max_new_tokens: int = 1) -> list[bool]:
        """Which rows leave room for so many new tokens."""


class Lengths(Protocol):
    """Counts tokens."""

    def lengths(self, rows: Rows) -> list[int]:
        """Tokens of each answer, its end included."""


class Likelihoods(Protocol):
    """Tells how likely an answer is."""

    def log_likelihood(self, rows: Rows, *, adapter: str | None) -> list[float]:
        """Mean log-likelihood of each answer's tokens, in nats."""


class Foretells(Protocol):
    """Tells how much of a text it would have said itself."""

    def foretold(self, texts: Sequence[str], *, adapter: str | None) -> list[float]:
        """The share of each text's tokens that it finds the likeliest next."""


class Answers(Protocol):
    """Answers, under an adapter or as the base model."""

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
    ) -> list[str]:
        """Greedy answers, in order."""


class GuessedAnswers(Protocol):
    """The same, quicker where somebody knows what may well be said."""

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
        guesses: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Greedy answers, in order; right guesses save time and change nothing."""
