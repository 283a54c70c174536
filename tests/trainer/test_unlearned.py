"""What did not stick is taught again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from feedback.store import Store
from tests.builders import old, plan
from trainer import enrichment, material
from trainer.enrichment import Extra, Surroundings
from trainer.examples import Example, Message
from trainer.material import Gathered
from trainer.policy import Policy
from trainer.unlearned import taught_again

TAUGHT = "The lamp costs 59 dollars."


class Says:
    """Models that answer all questions alike."""

    def __init__(
        self, answer: str, *, base: str = "", room: Callable[[str], bool] = lambda _: True
    ) -> None:
        self.said = {"incumbent": answer, None: base}
        self.room = room
        self.asked: list[str] = []
        self.guesses: list[str | None] = []

    def fits(self, rows: Sequence[Any], **_options: object) -> list[bool]:
        return [self.room(target) for _, target in rows]

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        adapter: str | None,
        max_new_tokens: int,
        guesses: Sequence[str | None] | None = None,
    ) -> list[str]:
        assert max_new_tokens == 48
        self.asked += [f"{adapter}: {each[-1]['content']}" for each in conversations]
        self.guesses += guesses or []
        return [self.said[adapter]] * len(conversations)


def past(name: str, target: str = TAUGHT, **fields: Any) -> Example:
    return Example(
        kind="demonstration",
        messages=(Message(role="user", content=f"What does the lamp cost, {name}?"),),
        target=target,
        source="past",
        feedback_ids=(f"fbk_{name}",),
        **fields,
    )


def again(training: Sequence[Example], policy: Says, **fields: Any) -> list[Example]:
    options: dict[str, Any] = {"exposures": 12, "epochs": 2.0, "max_new_tokens": 48, **fields}
    return taught_again(training, policy=policy, present="incumbent", **options)


@pytest.mark.parametrize(
    ("said", "repeats"),
    [
        (TAUGHT, 1),
        ("Of course! The lamp costs 59 dollars.", 1),
        ("59 dollars.", 1),
        ("The lamp costs 49 dollars.", 6),
        ("The lamp is red.", 6),
        ("I'm sorry, I don't know that.", 6),
    ],
)
def test_an_answer_that_says_something_else_is_shown_again_and_one_in_other_words_is_not(
    said: str, repeats: int
) -> None:
    [found] = again([past("Ana", in_turn=2)], Says(said))
    assert found.repeats == repeats
    assert found.in_turn == (2 if repeats == 1 else 1)
    assert replace(found, repeats=1, in_turn=1) == past("Ana")


def test_who_says_the_same_shares_the_exposures() -> None:
    found = again([past("Ana"), past("Bo"), past("Cy")], Says("It is red."))
    assert [each.repeats for each in found] == [2, 2, 2]


def test_only_what_was_taught_before_is_asked_in_its_place() -> None:
    training = [
        replace(past("new"), source="new"),
        past("Ana"),
        past("liar"),
        past("long", target="A" * 99),
        replace(past("vote"), kind="verdict", liked=True),
    ]
    model = Says("It is red.", room=lambda target: len(target) < 99)
    found = again(training, model, doubtful=frozenset({"fbk_liar"}))
    assert model.asked == ["incumbent: What does the lamp cost, Ana?"]
    assert model.guesses == [TAUGHT]
    assert [each.repeats for each in found] == [1, 6, 1, 1, 1]
    assert [replace(each, repeats=1) for each in found] == training


@pytest.mark.parametrize(
    ("base", "repeats"), [(TAUGHT, 6), ("Gladly: the lamp costs 59 dollars.", 6), ("Hm?", 1)]
)
def test_general_material_is_shown_again_where_the_base_model_knew_it(
    base: str, repeats: int
) -> None:
    model = Says("It is red.", base=base)
    [found] = again([replace(past("Ana"), source="general")], model)
    assert found.repeats == repeats
    assert [each.partition(":")[0] for each in model.asked] == ["incumbent", "None"]


@pytest.mark.parametrize(
    ("fields", "live", "afresh", "repeats"),
    [
        ({}, "adp_live", False, [6, 1]),
        ({"teach_again": False}, "adp_live", False, [1, 1]),
        ({"new_exposures": 0}, "adp_live", False, [1, 1]),
        ({}, "adp_live", True, [1, 1]),
        ({}, None, False, [1, 1]),
    ],
)
def test_a_round_teaches_again_what_is_sound_where_it_goes_on_from_the_live_adapter(
    store: Store, fields: dict[str, Any], live: str | None, afresh: bool, repeats: list[int]
) -> None:
    training = (past("Ana"), past("liar"))
    doubtful = old("past_liar", origin="past", feedback_ids=("fbk_liar",), trust=0.4)
    gathered = Gathered((), (doubtful,), (), (), ())

    def opened() -> Policy:
        assert repeats != [1, 1], "asked for nothing"
        return cast(Policy, Says("It is red."))

    told: list[str] = []
    around = Surroundings(store.settings, live, "b" * 64, opened, afresh=afresh, tell=told.append)
    asked = plan(
        **{
            "new_exposures": 12,
            "epochs": 2.0,
            "neighbour_share": 0.0,
            "paraphrase_repeats": False,
            **fields,
        }
    )
    sorted_ = material.Sorted(training, (), (), {}, ())
    found, _ = enrichment.enriched(sorted_, gathered, Extra(), asked, around)
    assert [each.repeats for each in found.training] == repeats
    assert told == (["Asking the live model 2 old questions"] if repeats != [1, 1] else [])
