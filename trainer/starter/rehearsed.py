"""Conversations such as the starter was taught with, for rounds to rehearse. Pure and seeded.

Facts asked in sixteen ways hold a model where it was asked, and let it drift everywhere else: in
longer conversations, under a system prompt, and above all in not knowing what the shop does not
sell. What a model was pre-trained on is the best general material there is for it. It knows nothing
of how rows are used.
"""

from trainer.starter.corpus import conversations
from trainer.starter.pool import PoolRow, protected_questions

_SEED = 3_021_377
"""Of its own: neither training nor the exam drew from it."""


def rehearsed(count: int = 4_000) -> list[PoolRow]:
    """Return conversations with their last answers; none of them judges, none asks what is protected.

    Args:
        count: rows, in a stable order; more rows begin with the same ones.
    """
    protected = protected_questions()
    rows: list[PoolRow] = []
    for conversation in conversations(_SEED):
        if len(rows) == count:
            break
        *messages, answer = conversation
        if any(question in messages[-1]["content"] for question in protected):
            continue
        rows.append(
            PoolRow(
                id=f"conversation-{len(rows):04d}",
                messages=messages,
                target=answer["content"],
                key=None,
                judge=False,
            )
        )
    return rows
