"""Personal data out of what a round works with, before anything of it is learned. Pure.

What people ask may hold a placeholder. What the model is to say may not: it would learn to say the
placeholder. Such feedback is left out, and its receipt says why; the shop's own address is listed
in `feedback.redaction_keep`.
"""

from dataclasses import replace

from feedback.harvest import Word
from feedback.privacy import placeholders, redacted, redacted_json
from feedback.settings import FeedbackSettings
from trainer.material import Gathered
from trainer.replay import Old


def redacted_material(gathered: Gathered, settings: FeedbackSettings) -> Gathered:
    """Return the material as it may be learned; protected items are the shop's, and stay."""
    if settings.redaction == "off":
        return gathered
    words = [_word(word, settings) for word in gathered.words]
    personal = {
        word.feedback_id: kinds
        for word in words
        if (kinds := placeholders(word.correction if word.correction is not None else word.answer))
    }
    return replace(
        gathered,
        words=tuple(word for word in words if word.feedback_id not in personal),
        past=_olds(gathered.past, settings),
        past_for_judging=_olds(gathered.past_for_judging, settings),
        general=_olds(gathered.general, settings),
        personal=personal,
    )


def _word(word: Word, settings: FeedbackSettings) -> Word:
    return word._replace(
        messages=redacted_json(word.messages, settings),
        answer=redacted(word.answer, settings),
        correction=None if word.correction is None else redacted(word.correction, settings),
        worse=redacted_json(word.worse, settings),
    )


def _olds(olds: tuple[Old, ...], settings: FeedbackSettings) -> tuple[Old, ...]:
    return tuple(
        replace(old, messages=redacted_json(old.messages, settings))
        for old in olds
        if not placeholders(redacted(old.target, settings))
    )
