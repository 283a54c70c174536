"""Both models' answers to what people asked and did not remark on. No torch of its own.

What a suite or a correction asks is answered when a round is judged (`trainer.judging`); this adds
what nobody would look at otherwise. Decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trainer.answered import Answered
from trainer.examples import Message
from trainer.judging import Answers
from trainer.pairs import Pair, differing
from trainer.settings import Plan


class Fitting(Answers, Protocol):
    """Answers, and knows what fits its context; `trainer.policy.Policy` does."""

    def fits(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, max_new_tokens: int = 1
    ) -> list[bool]:
        """Which rows leave room for so many new tokens."""


@dataclass(frozen=True)
class Asked:
    """What one person asked.

    Attributes:
        exchange_id: where.
        person_id: who.
        messages: the conversation before the answer.
    """

    exchange_id: str
    person_id: str
    messages: tuple[Message, ...]


def of_live(
    policy: Fitting,
    plan: Plan,
    asked: Sequence[Asked],
    *,
    incumbent: str | None,
    remembered: tuple[Answered, Answered],
) -> tuple[Pair, ...]:
    """Return where incumbent and candidate answer a prompt differently.

    Args:
        policy: holds the adapters ``candidate`` and, unless it is the base, `incumbent`.
        plan: where answers end.
        asked: the prompts; those too long for the model are left out.
        incumbent: the incumbent's name in the policy; None for the base model.
        remembered: what incumbent and candidate have answered before.
    """
    if not asked:
        return ()
    room = policy.fits([(each.messages, "") for each in asked], max_new_tokens=plan.max_new_tokens)
    fitting = [each for each, fits in zip(asked, room, strict=True) if fits]
    prompts = [each.messages for each in fitting]

    def said(adapter: str | None, known: Answered) -> list[str]:
        return known.answers(
            prompts,
            lambda numbers: policy.answers(
                [prompts[at] for at in numbers], adapter=adapter, max_new_tokens=plan.max_new_tokens
            ),
        )

    before, after = said(incumbent, remembered[0]), said("candidate", remembered[1])
    return tuple(
        differing(
            Pair("live", "", each.exchange_id, each.person_id, each.messages, was, now)
            for each, was, now in zip(fitting, before, after, strict=True)
        )
    )
