"""What a stream is made of: lessons that people give, and questions that test what is known.

Pure. Knows no model, no store and none of the streams.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trainer.examples import Message
from trainer.starter.world import is_polite

Said = Literal["correction", "thumb", "nothing"]
RIGHT, WRONG, STALE, RETIRED = "1", "0", "s", "-"
"""How an answer to a probe is written down, one character each."""


@dataclass(frozen=True)
class Check:
    """What makes an answer right.

    Attributes:
        states: whole words that it must hold.
        never: words that it must not hold: the other values that it could have named.
        stale: those among them that were true once.
        polite: the tone it must have, where one is asked for.
        exact: whether nothing else may stand in it but for the full stop at its end.
    """

    states: str
    never: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    polite: bool | None = None
    exact: bool = False

    def passes(self, answer: str) -> bool:
        """Whether the answer is right."""
        if self.exact:
            return answer.strip().rstrip(".").casefold() == self.states.casefold()
        tone = self.polite is None or is_polite(answer) == self.polite
        other = any(_holds(answer, value) for value in self.never)
        return tone and _holds(answer, self.states) and not other

    def mark(self, answer: str) -> str:
        """The character that stands for an answer."""
        if self.passes(answer):
            return RIGHT
        return STALE if any(_holds(answer, value) for value in self.stale) else WRONG


@dataclass(frozen=True)
class Probe:
    """A question that is never learned from.

    Attributes:
        id: names it within its stream.
        messages: the conversation before the answer.
        expected: a right answer, word for word: a guess that makes asking cheap.
        check: what a right answer is.
        about: what it asks for; probes of one thing stand or fall together.
    """

    id: str
    messages: tuple[Message, ...]
    expected: str
    check: Check
    about: str


@dataclass(frozen=True)
class Lesson:
    """One exchange, and what a person says of the answer.

    Attributes:
        messages: what they asked.
        person: who they are.
        about: what it teaches; a later task may say something new of the same thing.
        wanted: the answer that they would have liked: what they write as a correction.
        said: whether they write it, or only raise or lower their thumb, or say nothing at all.
        check: what they find right; it decides a thumb, and whether they correct at all.
        reviewed: whether a reviewer decides on it: accepts what is true and refuses what is not.
        true: whether what they say holds; a thumb that does not is the wrong one.
        late: whether the answer that they speak of was given before the last change of the model.
    """

    messages: tuple[Message, ...]
    person: str
    about: str
    wanted: str
    check: Check
    said: Said = "correction"
    reviewed: bool = True
    true: bool = True
    late: bool = False


@dataclass(frozen=True)
class Task:
    """What one round brings.

    Attributes:
        lessons: what people say before the round, in order.
        probes: what should be known after it.
        retires: ids of probes of earlier tasks that no longer hold, since something else is true.
    """

    lessons: tuple[Lesson, ...]
    probes: tuple[Probe, ...]
    retires: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Stream:
    """A sequence of tasks, the same for the same seed; a shorter run takes its beginning.

    Attributes:
        name: such as ``A`` or ``E-20``.
        title: what it is, in a few words.
        tasks: one a round.
        traps: known things that some accounts try to change: with `never` as what they claim.
        changed: subjects of the shop's own facts that the stream changes; the exam leaves them out.
        accounts: everybody's names, where it matters how old an account is.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    traps: tuple[Probe, ...] = ()
    changed: frozenset[str] = frozenset()
    accounts: tuple[str, ...] = ()

    def alive(self, task: int, *, after: int) -> list[bool]:
        """Which probes of a task still hold after a later one, both counted from 0."""
        gone = frozenset[str]().union(*(each.retires for each in self.tasks[task + 1 : after + 1]))
        return [probe.id not in gone for probe in self.tasks[task].probes]


@dataclass(frozen=True)
class Maker:
    """How a stream is built.

    Attributes:
        title: as in the stream.
        rounds: how many rounds it has unless asked otherwise.
        build: from a seed, a number of rounds and a scale of its size (1 is the full one).
        compared: whether other ways to learn are run on it, or Heed and its variants alone.
    """

    title: str
    rounds: int
    build: Callable[[int, int, float], Stream]
    compared: bool = True


def scaled(count: int, scale: float) -> int:
    """A count of the full stream at another size, at least 1."""
    return max(1, round(count * scale))


def user(text: str, system: str | None = None) -> tuple[Message, ...]:
    """A conversation of one question, after a system prompt where there is one."""
    opening = (Message(role="system", content=system),) if system else ()
    return (*opening, Message(role="user", content=text))


def _holds(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None
