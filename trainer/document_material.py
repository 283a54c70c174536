"""What a document round works with: pieces without personal data, what people ask, the mix. No torch.

Knows no round and no gate; what it needs of a model is a tokenizer and a likelihood.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlmodel import Session, col, select

from feedback.models import Exchange
from feedback.privacy import placeholders, redacted
from feedback.settings import PROJECT, FeedbackSettings
from trainer import chunks, replay
from trainer.chunks import Chunk
from trainer.document_answers import Asked
from trainer.documents import Section
from trainer.examples import Example
from trainer.metrics import Likelihood
from trainer.replay import Old
from trainer.selection import UNITS, Selected
from trainer.settings import Plan

ASKED_PROMPTS = 2000
"""What people ask about is told from so many of their last questions."""
MOST_REPEATS = 4
"""Where there is little general material, each piece of it comes at most so often in a pass."""
LEAST_GENERAL_SHARE = 0.1
"""With less general material among what is learned, other abilities fade."""
_AT_ONCE = 64


class Reader(Protocol):
    """What is needed of a model; `trainer.policy.Policy` has it."""

    @property
    def context_tokens(self) -> int: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]: ...

    def text_likelihoods(
        self, texts: Sequence[str], *, adapter: str | None
    ) -> list[Likelihood]: ...


def asked(
    session: Session, settings: FeedbackSettings, *, limit: int = ASKED_PROMPTS
) -> list[Asked]:
    """Return what people asked last, each question once, as it may be learned.

    With what was answered, which is looked with and never learned.
    """
    query = (
        select(Exchange.messages, Exchange.person_id, Exchange.choices)
        .where(Exchange.project_id == PROJECT, Exchange.origin == "chat")
        .order_by(col(Exchange.id).desc())
        .limit(limit)
    )
    found: dict[str, Asked] = {}
    for messages, person_id, choices in session.exec(query):
        for turn in messages[-1:]:
            if turn["role"] == "user":
                text = str(turn["content"])
                if settings.redaction != "off":
                    text = redacted(text, settings)
                said = str(choices[0].get("text") or "") if choices else ""
                found.setdefault(text, Asked(text, person_id, said))
    return list(found.values())


def cut(
    sections: Sequence[Section],
    reader: Reader,
    plan: Plan,
    settings: FeedbackSettings,
    *,
    report: Callable[[float, str], None],
) -> tuple[list[Chunk], int]:
    """Cut sections into pieces, without the sentences that hold personal data.

    Args:
        sections: of all documents.
        reader: the model.
        plan: how long a piece may be.
        settings: what is personal, and whether that matters.
        report: told the share that is done, and what is.

    Returns:
        The pieces, and how many sentences were left out.
    """
    most = min(plan.document_chunk_tokens, reader.context_tokens - 1)
    made: list[Chunk] = []
    dropped = 0
    for at, section in enumerate(sections):
        if at % _AT_ONCE == 0:
            report(at / len(sections), f"Cutting section {at}/{len(sections)}")
        kept, lost = section, 0
        if settings.redaction != "off":
            text, lost = chunks.without(section.text, lambda said: _personal(said, settings))
            kept = replace(section, text=text)
        dropped += lost
        made += chunks.cut(kept, reader.count_tokens, most_tokens=most)
    return made, dropped


def nats_per_token(
    pieces: Sequence[Chunk],
    reader: Reader,
    *,
    adapter: str | None,
    report: Callable[[float, str], None],
) -> list[float]:
    """Return how unlikely the model finds each piece: its mean negative log-likelihood."""
    found: list[float] = []
    for at in range(0, len(pieces), _AT_ONCE):
        report(at / len(pieces), f"Perplexity of piece {at}/{len(pieces)}")
        texts = [piece.text for piece in pieces[at : at + _AT_ONCE]]
        found += [-each.per_token for each in reader.text_likelihoods(texts, adapter=adapter)]
    return found


def mixed(
    pieces: Sequence[Chunk],
    answers: Sequence[Example],
    olds: Sequence[Old],
    reader: Reader,
    plan: Plan,
) -> tuple[list[Example], float]:
    """Return the pieces with old material beside them, and its share of the tokens to predict in a pass.

    Where there is enough old material, each pass shows other parts of it.

    By tokens, since the loss is an average over tokens: one piece outweighs ten answers. Text of
    other kinds in the mix keeps other abilities (Ibrahim et al. 2024, *Simple and scalable
    strategies to continually pre-train large language models*).

    Args:
        pieces: what is new.
        answers: questions that the pieces answer.
        olds: past feedback and general material that may be replayed.
        reader: the model.
        plan: the share, and the seed.
    """
    new = [piece.example() for piece in pieces]
    new += answers
    if not olds:
        return new, 0.0
    ours = sum(piece.tokens for piece in pieces)
    for answer, tokens in zip(
        answers, _answer_tokens([each.target for each in answers], reader), strict=True
    ):
        ours += answer.repeats * tokens
    share = plan.document_general_share
    a_piece = sum(_answer_tokens([old.target for old in olds], reader)) / len(olds)
    wanted = math.ceil(ours * share / (1 - share) / a_piece)
    found = replay.mix(
        new,
        olds,
        share=share,
        minimum=min(wanted, len(olds)),
        seed=plan.seed,
        passes=math.ceil(plan.document_epochs),
    )
    old = [example for example in found if not example.document]
    again = min(wanted, MOST_REPEATS * len(old)) - len(old)
    if again > 0:  # then all there is comes in every pass
        extra = random.Random(plan.seed).choices(old, k=again)
        found, old = [*found, *extra], [*old, *extra]
    counts = _answer_tokens([each.target for each in old], reader)
    theirs = sum(n / each.in_turn for n, each in zip(counts, old, strict=True))
    return found, theirs / (ours + theirs)


def kept_aside(selected: Selected) -> tuple[list[Example], list[Example]]:
    """Return what judges, and what tunes; pieces kept aside together stand and fall together."""
    name = UNITS[selected.unit]
    held, dev = (
        [replace(piece.example(), cluster=name(piece)) for piece in pieces]
        for pieces in (selected.held_out, selected.dev)
    )
    return held, dev


def told(
    selected: Selected, pieces: Sequence[Chunk], *, prompts: int, general_share: float
) -> dict[str, Any]:
    """Return what a person wants to know of the selection, as JSON."""
    notes = list(selected.notes)
    if general_share < LEAST_GENERAL_SHARE:
        notes.append(
            f"General material is only {general_share:.0%} of what is learned, and a tenth keeps "
            "other abilities alive; name more in trainer.general_file."
        )
    return {
        "pieces": len(pieces),
        "trained": len(selected.training),
        "tokens": sum(piece.tokens for piece in selected.training),
        "held_out": len(selected.held_out),
        "held_out_by": selected.unit,
        "dev": len(selected.dev),
        "dropped": [{"reason": d.reason, "pieces": len(d.chunks)} for d in selected.dropped],
        "prompts": prompts,
        "general_share": round(general_share, 4),
        "notes": notes,
    }


def _personal(said: str, settings: FeedbackSettings) -> bool:
    return bool(placeholders(redacted(said, settings)))


def _answer_tokens(answers: Sequence[str], reader: Reader) -> list[int]:
    return [
        tokens + 1 for tokens in reader.count_tokens(answers)
    ]  # the end token is predicted, too
