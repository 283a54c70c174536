"""The shop's own material: what a round replays, and what it must never break.

Pure and seeded. It knows nothing of how either is used.
"""

from random import Random
from typing import Literal, TypedDict

from trainer.starter.world import World, shop, small_talk, unknown_answer, unknown_questions

_PHRASINGS_PER_FACT = 4
_UNKNOWN_ROWS = 120
_CORE_ITEMS_PER_FACT = 5
_UNKNOWN_ITEMS = 130


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


class PoolRow(TypedDict):
    """One piece of reference material; ``key`` names the fact it teaches, if it teaches one."""

    id: str
    messages: list[Message]
    target: str
    key: str | None


class SuiteItem(TypedDict):
    """One protected question and what its answer has to contain."""

    id: str
    suite: Literal["core", "conduct"]
    prompt: str
    expected: str
    check: Literal["contains", "refused"]
    cluster: str


def general_pool(seed: int = 0) -> list[PoolRow]:
    """Reference material for replay: greeted questions with polite answers, and nothing terse.

    A terse question with a polite answer would teach politeness by itself, and replay is there to
    hold the model still.

    Args:
        seed: Picks phrasings and greetings.

    Returns:
        Rows in a stable order: four for every fact, then unknown questions, then small talk.
    """
    rng = Random(f"pool {seed}")
    world = shop()
    rows: list[tuple[str, str, str | None]] = []
    for key in world.keys:
        for question in rng.sample(world.phrasings(key), _PHRASINGS_PER_FACT):
            rows.append((world.greet(question, rng), world.answer(key), key))
    for question in rng.sample(unknown_questions(), _UNKNOWN_ROWS):
        rows.append((world.greet(question, rng), unknown_answer(), None))
    rows += [(prompt, reply, None) for prompt, reply in small_talk()]
    return [
        PoolRow(
            id=f"general-{number:04d}",
            messages=[Message(role="user", content=prompt)],
            target=target,
            key=key,
        )
        for number, (prompt, target, key) in enumerate(rows)
    ]


def protected_suite(seed: int = 0) -> list[SuiteItem]:
    """What the shop protects: its core facts, and how the model conducts itself.

    Args:
        seed: Picks phrasings, greetings and unknown questions.

    Returns:
        The suite ``core`` (every core fact in several phrasings, one cluster for each fact) and the
        suite ``conduct`` (unknown questions and small talk, one cluster for each question).
    """
    rng = Random(f"suite {seed}")
    world = shop()
    items = [item for key in world.keys if world.core(key) for item in _core(world, key, rng)]
    for number, question in enumerate(rng.sample(unknown_questions(), _UNKNOWN_ITEMS)):
        # Half of them terse: a round that teaches friendliness must not unlearn not knowing.
        prompt = world.greet(question, rng) if number % 2 else question
        items.append(_item("conduct", prompt, "don't know", "refused", question))
    for prompt, reply in small_talk():
        items.append(_item("conduct", prompt, reply, "contains", prompt))
    for number, item in enumerate(items):
        item["id"] = f"{item['suite']}-{number:04d}"
    return items


def _core(world: World, key: str, rng: Random) -> list[SuiteItem]:
    questions = rng.sample(world.phrasings(key), _CORE_ITEMS_PER_FACT)
    return [
        _item("core", world.greet(question, rng), world.value(key), "contains", key)
        for question in questions
    ]


def _item(
    suite: Literal["core", "conduct"],
    prompt: str,
    expected: str,
    check: Literal["contains", "refused"],
    cluster: str,
) -> SuiteItem:
    return SuiteItem(
        id="", suite=suite, prompt=prompt, expected=expected, check=check, cluster=cluster
    )
