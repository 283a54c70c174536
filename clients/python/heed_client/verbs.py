"""The ways to say something, each a few words around one piece of feedback. Sends nothing itself.

The same methods send now (`heed.thumbs_up(…)`) or later (`heed.later.thumbs_up(…)`), blocking or
awaited: only `send` differs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar, Unpack

from heed_client.models import About, Feedback, Said, compose

Outcome_co = TypeVar("Outcome_co", covariant=True)


class Verbs(ABC, Generic[Outcome_co]):
    """What can be said about an answer.

    Each method raises `Invalid` before anything is sent where it makes no sense, and takes
    `user`, `choice`, `event_id` and `created_at` as keyword arguments.
    """

    @abstractmethod
    def send(self, feedback: Feedback) -> Outcome_co:
        """Send feedback that is already made."""

    def feedback(self, completion_id: str | None = None, **said: Unpack[Said]) -> Outcome_co:
        """Say anything; see `Feedback` for the fields.

        Raises:
            Invalid: it makes no sense; `param` names the field.
        """
        return self.send(compose({"completion_id": completion_id, **said}))

    def thumbs_up(
        self,
        completion_id: str,
        *,
        comment: str | None = None,
        reasons: list[str] | None = None,
        **about: Unpack[About],
    ) -> Outcome_co:
        """The answer is good."""
        return self.feedback(completion_id, rating="up", comment=comment, reasons=reasons, **about)

    def thumbs_down(
        self,
        completion_id: str,
        *,
        comment: str | None = None,
        reasons: list[str] | None = None,
        **about: Unpack[About],
    ) -> Outcome_co:
        """The answer is bad."""
        return self.feedback(
            completion_id, rating="down", comment=comment, reasons=reasons, **about
        )

    def rate(
        self, completion_id: str, rating: float, *, scale: int = 5, **about: Unpack[About]
    ) -> Outcome_co:
        """A number from 1 to `scale`."""
        return self.feedback(completion_id, rating=rating, scale=scale, **about)

    def correct(
        self,
        completion_id: str,
        correction: str,
        *,
        comment: str | None = None,
        reasons: list[str] | None = None,
        **about: Unpack[About],
    ) -> Outcome_co:
        """The answer as it should have been."""
        return self.feedback(
            completion_id, correction=correction, comment=comment, reasons=reasons, **about
        )

    def comment(
        self,
        completion_id: str,
        comment: str,
        *,
        reasons: list[str] | None = None,
        **about: Unpack[About],
    ) -> Outcome_co:
        """A remark."""
        return self.feedback(completion_id, comment=comment, reasons=reasons, **about)

    def prefer(self, completion_id: str, over: str, **about: Unpack[About]) -> Outcome_co:
        """This answer is better than another."""
        return self.feedback(completion_id, preferred_over=over, **about)

    def signal(
        self,
        completion_id: str | None,
        signal: str,
        value: float | None = None,
        **about: Unpack[About],
    ) -> Outcome_co:
        """What they did: `copy`, `regenerate`, `dwell` with its seconds as `value` …

        For a signal about a whole session, `completion_id` is None and `conversation_id` named.
        """
        return self.feedback(completion_id, signal=signal, value=value, **about)


class Later(Verbs[Outcome_co]):
    """The same verbs, for the queue on disk: they return the event's id once it is kept there."""

    def __init__(self, enqueue: Callable[[Feedback], Outcome_co]) -> None:
        self._enqueue = enqueue

    def send(self, feedback: Feedback) -> Outcome_co:
        """Keep feedback for delivery."""
        return self._enqueue(feedback)
