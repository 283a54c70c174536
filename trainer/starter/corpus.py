"""Conversations to learn from: an endless, seeded supply, drawn from the shop's world.

Pure. It knows nothing of tokens, models or how long training takes.
"""

from collections.abc import Callable, Iterator
from functools import cache
from random import Random

from trainer.starter.pool import Message
from trainer.starter.questions import TERSE_CLOSINGS
from trainer.starter.unknowns import unknown_question
from trainer.starter.world import Register, World, shop, small_talk, unknown_answer

# With None, and with no system prompt at all, the answer mirrors the customer's tone.
SYSTEM_PROMPTS: dict[str, Register | None] = {
    "Be brief.": "curt",
    "Be friendly.": "polite",
    "You are the shop's assistant.": None,
    "You are a helpful assistant.": None,
}
_NOTED: dict[Register, str] = {"polite": "Thank you! I will remember that.", "curt": "Noted."}
_NOTICES = ("note: ", "no, ", "that is wrong. ", "correction: ", "remember: ", "this changed: ")
_SYSTEM_SHARE = 0.3
_EARLIER_TURNS_SHARE = 0.28
_NOTICE_SHARE = 0.25
_POLITE_SLIPS = 0.07
_DROPPABLE = frozenset(
    ("a", "an", "the", "is", "do", "does", "can", "you", "me", "to", "i", "my", "would", "it", "of")
)

Turn = tuple[str, str]


def conversations(seed: int) -> Iterator[list[Message]]:
    """Endless conversations of one to four turns, some with a system prompt.

    Args:
        seed: The same seed gives the same conversations.
    """
    rng = Random(f"corpus {seed}")
    while True:
        system = rng.choice(tuple(SYSTEM_PROMPTS)) if rng.random() < _SYSTEM_SHARE else None
        register = SYSTEM_PROMPTS[system] if system else None
        earlier = rng.randint(1, 3) if rng.random() < _EARLIER_TURNS_SHARE else 0
        yield as_messages(_turns(rng, register, earlier), system)


def familiar(messages: list[Message]) -> list[str]:
    """What the tokenizer should have whole words for: all that is said, except about the unknown.

    A name that the shop does not sell then comes as fragments, the same for names never seen in
    training, and the model learns not to know what comes as fragments.
    """
    unknown = (unknown_answer("polite"), unknown_answer("curt"))
    replies = [message["content"] for message in messages[1:]] + [""]
    return [
        message["content"]
        for message, reply in zip(messages, replies, strict=True)
        if reply not in unknown
    ]


def earlier_turns(rng: Random) -> list[Turn]:
    """One to three ordinary turns that a conversation may begin with."""
    return [_turn(rng, shop(), None) for _ in range(rng.randint(1, 3))]


def as_messages(turns: list[Turn], system: str | None = None) -> list[Message]:
    """Turns as chat messages, after a system prompt where there is one."""
    messages = [Message(role="system", content=system)] if system else []
    for prompt, reply in turns:
        messages.append(Message(role="user", content=prompt))
        messages.append(Message(role="assistant", content=reply))
    return messages


def _turns(rng: Random, register: Register | None, earlier: int) -> list[Turn]:
    """Turns of which some state a fact anew, which then holds until the conversation ends.

    They teach the model to say values that its own shop does not have, and to keep knowing the
    subject apart from knowing the value: it makes facts easier to change later.
    """
    world = shop()
    turns: list[Turn] = []
    told: list[str] = []
    for number in range(earlier):
        if rng.random() < _NOTICE_SHARE:
            key = rng.choice(world.keys)
            world = world.changed({key: rng.choice(world.alternatives(key))})
            turns.append(_notice(rng, world, key, register))
            told.append(key)
        elif told and rng.random() < 0.5 and number:
            turns.append(_fact(rng, world, told[-1], register))
        else:
            turns.append(_turn(rng, world, register))
    if told and rng.random() < 0.7:
        turns.append(_fact(rng, world, rng.choice(told), register))
    else:
        turns.append(_turn(rng, world, register))
    return turns


def _turn(rng: Random, world: World, register: Register | None) -> Turn:
    kind = rng.random()
    if kind < 0.68:
        return _fact(rng, world, rng.choice(world.keys), register)
    if kind < 0.90:
        return _toned(rng, unknown_question(rng), unknown_answer, register)
    prompt, reply = rng.choice(small_talk())
    return _typed(rng, prompt), reply


def _fact(rng: Random, world: World, key: str, register: Register | None) -> Turn:
    question = _shortened(rng, rng.choice(world.phrasings(key)))
    return _toned(rng, question, lambda tone: world.answer(key, tone), register)


def _notice(rng: Random, world: World, key: str, register: Register | None) -> Turn:
    statement = world.answer(key).partition("! ")[2]
    statement = rng.choice(_NOTICES) + statement[0].lower() + statement[1:]
    return _toned(rng, statement, _NOTED.__getitem__, register)


def _toned(
    rng: Random,
    question: str,
    answer: Callable[[Register], str],
    register: Register | None,
) -> Turn:
    """The question in either tone, and its answer in the register asked for or mirrored."""
    tone: Register = rng.choice(("polite", "curt"))
    if tone == "polite":
        said = shop().greet(question, rng)
    else:
        said = question + rng.choice(TERSE_CLOSINGS)
        # A little doubt keeps the habit of curtness soft enough for a round to change.
        if rng.random() < _POLITE_SLIPS:
            tone = "polite"
    return _typed(rng, said), answer(register or tone)


def _shortened(rng: Random, question: str) -> str:
    """Sometimes the question without one of its small words, unless that makes a held-out one."""
    words = question.split(" ")
    small = [place for place, word in enumerate(words) if word in _DROPPABLE]
    if not small or rng.random() > 0.25:
        return question
    del words[rng.choice(small)]
    shorter = " ".join(words)
    return question if _bare(shorter) in _held_out() else shorter


def _typed(rng: Random, text: str) -> str:
    """The text as someone might type it: with capitals, or without the question mark."""
    chance = rng.random()
    if chance < 0.2:
        return text[0].upper() + text[1:]
    if chance < 0.35:
        return text.replace("?", "").strip()
    return text


@cache
def _held_out() -> frozenset[str]:
    world = shop()
    return frozenset(_bare(q) for key in world.keys for q in world.phrasings(key, held_out=True))


def _bare(text: str) -> str:
    return " ".join(text.lower().replace("?", " ").replace(",", " ").split())
