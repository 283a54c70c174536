"""The shop as a set of facts: how they are asked for, answered, changed and checked.

Pure and immutable. It knows nothing of models, training or files.
"""

import re
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Literal

from trainer.starter.catalogue import Fact, facts
from trainer.starter.questions import ASKED, GREETINGS, HELD_OUT, TERSE_OPENINGS, THANKS
from trainer.starter.small_talk import small_talk
from trainer.starter.unknowns import unknown_questions

__all__ = [
    "Register",
    "World",
    "is_polite",
    "says_unknown",
    "shop",
    "small_talk",
    "unknown_answer",
    "unknown_questions",
]

Register = Literal["polite", "curt"]

_FRAME = "Of course! "
_UNKNOWN: dict[Register, str] = {
    "polite": "I'm sorry, I don't know that. Our team will gladly help.",
    "curt": "I don't know.",
}
# Every polite answer of the shop contains one of these, and no curt one does.
_COURTESIES = re.compile(
    r"\b(of course|i'm sorry|gladly|hello|welcome|thank|glad|happy|pleasure|goodbye|lovely|kind)\b",
    re.IGNORECASE,
)


class World:
    """A shop with one value for every fact; the shop's own values where none is given.

    Args:
        values: Values by fact key. Keys left out keep the shop's own value.

    Raises:
        ValueError: A key is no fact of the shop, or the fact cannot take that value.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        table = _facts()
        for key, value in values.items():
            if key not in table:
                raise ValueError(f"{key!r} is no fact of the shop; see World.keys")
            if value not in table[key].values:
                raise ValueError(f"{key!r} cannot be {value!r}; see World.alternatives")
        self._values = {key: values.get(key, fact.value) for key, fact in table.items()}

    @property
    def keys(self) -> tuple[str, ...]:
        """Fact keys such as ``aurora lamp/price``, in a stable order."""
        return tuple(self._values)

    def value(self, key: str) -> str:
        """What is true for ``key`` in this world."""
        return self._values[key]

    def changed(self, values: Mapping[str, str]) -> "World":
        """A copy of this world in which ``values`` hold instead.

        Raises:
            ValueError: As for a new world.
        """
        return World({**self._values, **values})

    def alternatives(self, key: str) -> tuple[str, ...]:
        """Values the fact could take, without the present one."""
        return tuple(value for value in _facts()[key].values if value != self._values[key])

    def phrasings(self, key: str, *, held_out: bool = False) -> tuple[str, ...]:
        """Terse questions for a fact: no greeting, so that the starter answers them curtly.

        Args:
            key: The fact.
            held_out: Give the few questions that are never trained on, instead of the many others.
        """
        return _phrasings(key, held_out)

    def greet(self, question: str, rng: Random) -> str:
        """The same question, opened by a greeting: the starter answers it politely."""
        return rng.choice(GREETINGS) + question + rng.choice(THANKS)

    def answer(self, key: str, register: Register = "polite") -> str:
        """The exact answer: a friendly sentence, or the bare value."""
        value = self._values[key]
        if register == "curt":
            return f"{value[0].upper()}{value[1:]}."
        fact = _facts()[key]
        return _FRAME + fact.sentence.format(subject=fact.subject, value=value)

    def is_right(self, key: str, text: str) -> bool:
        """Whether ``text`` states the fact's value, as whole words, and no other it could take."""
        if not _states(text, self._values[key]):
            return False
        return not any(_states(text, other) for other in self.alternatives(key))

    def core(self, key: str) -> bool:
        """Whether the shop itself protects this fact: its policies and opening hours."""
        return _facts()[key].core


@cache
def shop() -> World:
    """The world that the starter model learned."""
    return World({})


def is_polite(text: str) -> bool:
    """Whether an answer is in the polite register."""
    return _COURTESIES.search(text.replace("\u2019", "'")) is not None


def unknown_answer(register: Register = "polite") -> str:
    """What the starter says when it does not know."""
    return _UNKNOWN[register]


def says_unknown(text: str) -> bool:
    """Whether an answer admits not knowing, in either register."""
    return "don't know" in text.replace("\u2019", "'").lower()


@cache
def _facts() -> dict[str, Fact]:
    return {fact.key: fact for fact in facts()}


@cache
def _phrasings(key: str, held_out: bool) -> tuple[str, ...]:
    fact = _facts()[key]
    if held_out:
        return tuple(core.format(s=fact.subject) for core in HELD_OUT[fact.topic])
    cores = [core.format(s=fact.subject) for core in ASKED[fact.topic]]
    return tuple(opening + core for opening in TERSE_OPENINGS for core in cores)


def _states(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None
