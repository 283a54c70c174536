"""The calls whose answer somebody waits for. Says what to send and when again; does no I/O."""

from urllib.parse import quote

from pydantic import ValidationError

from heed_client.backoff import Retry, retry_after_seconds
from heed_client.errors import HeedError, Invalid, Unexpected, of_answer
from heed_client.models import Feedback, Receipt
from heed_client.steps import Answer, Ask, Pause, Steps, ask, wait


def send(feedback: Feedback, retry: Retry) -> Steps[Receipt]:
    """Post one piece of feedback; its event id makes every try the same event."""
    return _asking(Ask("POST", "/feedback", feedback.line()), retry)


def receipt(feedback_id: str, retry: Retry) -> Steps[Receipt]:
    """Ask what became of one piece of feedback."""
    return _asking(Ask("GET", _path(feedback_id)), retry)


def withdraw(feedback_id: str, retry: Retry) -> Steps[Receipt]:
    """Take one piece of feedback back; doing it twice is the same as once."""
    return _asking(Ask("DELETE", _path(feedback_id)), retry)


def read_receipt(answer: Answer) -> Receipt:
    """Read the receipt in a good answer.

    Raises:
        HeedError: the answer is an error.
        Unexpected: it is no receipt.
    """
    if answer.status not in (200, 201):
        raise fault_of(answer)
    try:
        return Receipt.model_validate_json(answer.body)
    except ValidationError as error:
        raise Unexpected(
            f"HTTP {answer.status} came without a receipt; does `base_url` name Heed?",
            status=answer.status,
        ) from error


def fault_of(answer: Answer) -> HeedError:
    """Return the error that an answer is."""
    return of_answer(answer.status, answer.body, retry_after_seconds(answer.headers))


def _asking(request: Ask, retry: Retry) -> Steps[Receipt]:
    tries = 0
    while True:
        tries += 1
        try:
            return read_receipt((yield from ask(request)))
        except HeedError as fault:
            seconds = retry.call_seconds(tries, fault)
            if seconds is None:
                raise
        yield from wait(Pause(seconds))


def _path(feedback_id: str) -> str:
    if not feedback_id or feedback_id in (".", ".."):
        raise Invalid("`feedback_id` is empty; it is the `id` of a receipt.", param="feedback_id")
    return f"/feedback/{quote(feedback_id, safe='')}"
