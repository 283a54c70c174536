"""The shop's own material: what a round replays, and what it must never break.

Pure and seeded. It knows nothing of how either is used.
"""

from random import Random
from typing import Literal, TypedDict

from trainer.starter.unknowns import half_real
from trainer.starter.world import shop, small_talk, unknown_answer, unknown_questions

_PHRASINGS_PER_FACT = 16
_UNKNOWN_ROWS = 96
_TERSE_EVERY = 4
_CORE_ITEMS_PER_FACT = 13
_UNKNOWN_ITEMS = 380


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


class PoolRow(TypedDict):
    """One piece of reference material.

    ``key`` names the fact it teaches, if it teaches one; ``judge`` is false for what is rehearsed
    and never held against a round.
    """

    id: str
    messages: list[Message]
    target: str
    key: str | None
    judge: bool


class SuiteItem(TypedDict):
    """One protected question and what its answer has to contain."""

    id: str
    suite: Literal["core", "conduct"]
    prompt: str
    expected: str
    check: Literal["contains", "refused"]
    key: str | None


def general_pool(seed: int = 0) -> list[PoolRow]:
    """Reference material for replay: greeted questions with polite answers, few of them terse.

    A terse question with a polite answer would teach politeness by itself, and replay is there to
    hold the model still. A quarter of the unknown questions are terse, with the terse answer: none,
    and rounds garbled that answer; half, and rounds refused what they know. No question of the
    protected suite is here, or the suite would measure what was rehearsed.

    Args:
        seed: Picks phrasings and greetings.

    Returns:
        Rows in a stable order: sixteen for every fact, then unknown questions, then small talk.
    """
    rng = Random(f"pool {seed}")
    world = shop()
    kept_back = protected_questions(seed)
    rows: list[tuple[str, str, str | None]] = []
    for key in world.keys:
        free = [each for each in world.phrasings(key) if each not in kept_back]
        for question in rng.sample(free, _PHRASINGS_PER_FACT):
            rows.append((world.greet(question, rng), world.answer(key), key))
    free = [each for each in unknown_questions() if each not in kept_back]
    for number, question in enumerate(rng.sample(free, _UNKNOWN_ROWS)):
        if number % _TERSE_EVERY == 0:
            rows.append((question, unknown_answer("curt"), None))
        else:
            rows.append((world.greet(question, rng), unknown_answer(), None))
    rows += [(prompt, reply, None) for prompt, reply in small_talk() if prompt not in kept_back]
    return [
        PoolRow(
            id=f"general-{number:04d}",
            messages=[Message(role="user", content=prompt)],
            target=target,
            key=key,
            judge=key is not None or not half_real(prompt),
        )
        for number, (prompt, target, key) in enumerate(rows)
    ]


def protected_suite(seed: int = 0) -> list[SuiteItem]:
    """What the shop protects: its core facts, and how the model conducts itself.

    Args:
        seed: Picks phrasings, greetings and unknown questions.

    Returns:
        The suite ``core`` (every core fact in several phrasings; ``key`` names the fact) and the
        suite ``conduct`` (unknown questions and small talk).
    """
    rng = Random(f"greetings {seed}")
    world = shop()
    items = []
    for number, (question, key) in enumerate(_asked(seed)):
        if key is not None:
            prompt, expected = world.greet(question, rng), world.value(key)
            items.append(_item("core", prompt, expected, "contains", key))
        elif question in _replies():
            items.append(_item("conduct", question, _replies()[question], "contains", None))
        else:
            # Half of them terse: a round that teaches friendliness must not unlearn not knowing.
            prompt = world.greet(question, rng) if number % 2 else question
            items.append(_item("conduct", prompt, "don't know", "refused", None))
    for number, item in enumerate(items):
        item["id"] = f"{item['suite']}-{number:04d}"
    return items


def protected_questions(seed: int = 0) -> frozenset[str]:
    """The questions of the protected suite, without greetings."""
    return frozenset(question for question, _ in _asked(seed))


def _asked(seed: int) -> list[tuple[str, str | None]]:
    """The suite's questions without greetings, each with its fact, if it is about one."""
    rng = Random(f"suite {seed}")
    world = shop()
    asked: list[tuple[str, str | None]] = [
        (question, key)
        for key in world.keys
        if world.core(key)
        for question in rng.sample(world.phrasings(key), _CORE_ITEMS_PER_FACT)
    ]
    fair = [question for question in unknown_questions() if not half_real(question)]
    asked += [(question, None) for question in rng.sample(fair, _UNKNOWN_ITEMS)]
    return asked + [(prompt, None) for prompt in list(_replies())[::3]]


def _replies() -> dict[str, str]:
    return dict(small_talk())


def _item(
    suite: Literal["core", "conduct"],
    prompt: str,
    expected: str,
    check: Literal["contains", "refused"],
    key: str | None,
) -> SuiteItem:
    return SuiteItem(id="", suite=suite, prompt=prompt, expected=expected, check=check, key=key)
