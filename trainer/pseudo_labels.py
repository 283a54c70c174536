"""The model's own confident answers to questions that nobody remarked on, as demonstrations.

Pseudo-labels (Lee 2013, "Pseudo-label: the simple and efficient semi-supervised learning method
for deep neural networks"), with a threshold as in FixMatch (Sohn et al. 2020,
https://arxiv.org/abs/2001.07685). What was disliked, corrected, signalled or reviewed in any way is
never among them. No torch of its own.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, exists, select

from feedback.harvest import Word
from feedback.models import Exchange, Feedback
from feedback.settings import PROJECT
from feedback.words import normalised
from trainer import replay
from trainer.examples import Example, Message, turns
from trainer.replay import Old
from trainer.speaking import Answers, Fits, Likelihoods

MOST_ASKED = 400
"""So many of the last questions are looked at."""


class Asked(Answers, Likelihoods, Fits, Protocol):
    """What labelling needs of a model with adapters; `trainer.policy.Policy` has it."""


@dataclass(frozen=True)
class Logged:
    """A question that somebody asked, and what was answered.

    Attributes:
        id: of the exchange.
        messages: the conversation before the answer.
        answer: what was said.
        adapter_id: who said it.
        person_id: who asked.
    """

    id: str
    messages: tuple[Message, ...]
    answer: str
    adapter_id: str
    person_id: str


def unlabelled(session: Session, *, limit: int = MOST_ASKED) -> list[Logged]:
    """Return the last questions on which there is no feedback of any kind, newest first.

    None on this answer, on its conversation, or on any answer to the same prompt, by anybody; and
    nobody named the answer as the worse one. Each prompt once; answers that were cut off, empty or
    chosen among several are left out.
    """
    other = aliased(Exchange)
    named = select(Feedback.preferred_over).where(col(Feedback.preferred_over).is_not(None))
    query = (
        select(Exchange)
        .where(
            Exchange.project_id == PROJECT,
            Exchange.origin == "chat",
            Exchange.state == "complete",
            col(Exchange.id).not_in(named),
            ~exists().where(
                col(Feedback.conversation_id) == Exchange.conversation_id,
                col(Feedback.project_id) == PROJECT,
            ),
            ~exists().where(
                col(Feedback.exchange_id) == other.id,
                col(other.project_id) == PROJECT,
                col(other.prompt_hash) == Exchange.prompt_hash,
            ),
        )
        .order_by(col(Exchange.id).desc())
        .limit(limit)
    )
    found: dict[str, Logged] = {}
    for row in session.exec(query):
        [first, *more] = row.choices or [{}]
        answer = str(first.get("text") or "").strip()
        texts = [turn.get("content") for turn in row.messages]
        if more or not answer or first.get("finish_reason") != "stop":
            continue
        if not all(isinstance(text, str) for text in texts) or row.messages[-1]["role"] != "user":
            continue
        found.setdefault(
            row.prompt_hash,
            Logged(
                id=row.id,
                messages=turns(row.messages),
                answer=answer,
                adapter_id=row.adapter_id,
                person_id=row.person_id,
            ),
        )
    return list(found.values())


def labelled(
    logged: Sequence[Logged],
    *,
    policy: Asked,
    present: str | None,
    present_id: str,
    reviewed: Sequence[Word],
    judging: Collection[str],
    most: int,
    confidence: float,
    weight: float,
    max_new_tokens: int,
    may_be_said: Callable[[str], bool] = lambda _: True,
) -> list[Example]:
    """Return demonstrations of the most confident answers, at most so many.

    Where the present adapter gave the logged answer, that is it; other questions are answered
    anew. What a reviewed correction replaces is left out, and so is what judges the round.

    Args:
        logged: from `unlabelled`.
        policy: the models.
        present: name in `policy` of the adapter that the round continues, None for the base.
        present_id: under which id exchanges name it.
        reviewed: the round's corrections.
        judging: normalised questions that judge the round.
        most: so many at most, the most confident first.
        confidence: geometric mean of the tokens' probabilities, at least.
        weight: of each.
        max_new_tokens: answers that would be longer are left out.
        may_be_said: whether an answer holds nothing that no model is taught to say.
    """
    asked = [each for each in logged if normalised(each.messages[-1]["content"]) not in judging]
    room = policy.fits([(each.messages, "") for each in asked], max_new_tokens=max_new_tokens)
    asked = [each for each, fits in zip(asked, room, strict=True) if fits]
    if not asked or not most:
        return []
    anew = [each for each in asked if each.adapter_id != present_id]
    said = {each.id: each.answer for each in asked}
    told = policy.answers(
        [each.messages for each in anew], adapter=present, max_new_tokens=max_new_tokens
    )
    said |= {each.id: answer for each, answer in zip(anew, told, strict=True)}
    rows = [(each.messages, said[each.id]) for each in asked]
    fitting = policy.fits(rows)
    kept = [
        each
        for each, fits in zip(asked, fitting, strict=True)
        if fits and said[each.id] and may_be_said(said[each.id])
    ]
    wrong = replay.retired([_old(each, said[each.id]) for each in kept], reviewed)
    kept = [each for each in kept if each.id not in wrong]
    likely = policy.log_likelihood(
        [(each.messages, said[each.id]) for each in kept], adapter=present
    )
    sure = sorted(
        (-value, each.id, each)
        for value, each in zip(likely, kept, strict=True)
        if value >= math.log(confidence)
    )
    return [
        Example(
            kind="demonstration",
            messages=each.messages,
            target=said[each.id],
            weight=weight,
            source="general",  # what it says anyway is no news, and is not remembered as learned
            cluster=each.person_id,
            made="pseudo-label",
        )
        for *_, each in sure[:most]
    ]


def _old(logged: Logged, answer: str) -> Old:
    return Old(logged.id, logged.messages, answer, logged.person_id, "general")
