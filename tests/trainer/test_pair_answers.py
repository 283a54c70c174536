"""Prompts that nobody gave feedback on, answered by both models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from tests import builders
from trainer.answered import Answered
from trainer.examples import Message
from trainer.pair_answers import Asked, Fitting, of_live


class Policy:
    """Answers as its adapter is called; what asks for long answers does not fit."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fits(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, max_new_tokens: int = 1
    ) -> list[bool]:
        assert max_new_tokens > 1
        return ["long" not in messages[-1]["content"] for messages, _ in rows]

    def answers(
        self, conversations: Sequence[Sequence[Message]], *, adapter: str | None, **_: Any
    ) -> list[str]:
        said = [each[-1]["content"] for each in conversations]
        self.asked += said
        return ["Same." if "same" in text else f"{adapter or 'base'} says." for text in said]


def asked(number: int, text: str) -> Asked:
    message = Message(role="user", content=text)
    return Asked(f"chatcmpl_{number}", builders.person(f"p{number}"), (message,))


def test_both_models_answer_what_fits_and_what_differs_is_a_pair(tmp_path: Path) -> None:
    policy = Policy()
    remembered = tuple(Answered(tmp_path, model=name, max_new_tokens=48) for name in ("old", "new"))
    prompts = [asked(1, "Hours?"), asked(2, "A long story!"), asked(3, "The same again?")]
    found = of_live(
        cast(Fitting, policy),
        builders.plan(),
        prompts,
        incumbent=None,
        remembered=(remembered[0], remembered[1]),
    )
    [pair] = found
    assert (pair.source, pair.suite, pair.item_id) == ("live", "", "chatcmpl_1")
    assert pair.cluster == builders.person("p1")
    assert (pair.incumbent_answer, pair.candidate_answer) == ("base says.", "candidate says.")
    assert sorted(policy.asked) == sorted(2 * ["Hours?", "The same again?"])


def test_without_prompts_no_model_is_asked(tmp_path: Path) -> None:
    known = Answered(tmp_path, model="any", max_new_tokens=48)
    policy = Policy()
    assert (
        of_live(
            cast(Fitting, policy), builders.plan(), [], incumbent=None, remembered=(known, known)
        )
        == ()
    )
    assert policy.asked == []
