"""Stream A: new products every round, and some of what is known changes.

Each fact is asked for in five ways: four are taught, the fifth tests. Names are those of things
that the starter's shop does not sell and says so; values are made of words that it often says, since
a round trains no embedding. Pure and seeded.
"""

from dataclasses import dataclass
from functools import cache
from random import Random

from benchmarks.continual.tasks import Check, Lesson, Probe, Stream, Task, scaled, user
from trainer.starter.catalogue import ATTRIBUTES, PRODUCTS, SENTENCES, VALUES
from trainer.starter.questions import ASKED, HELD_OUT
from trainer.starter.unknowns import unknown_questions, unsold_name
from trainer.starter.world import shop

TITLE = "60 new and 15 changed facts a round"
ROUNDS = 20
NEW, CHANGED = 60, 15
PEOPLE = 60
WAYS = 4
"""Ways of asking that are taught."""
OWN_PRODUCTS = 3
"""In the first round nothing is learned yet that could change, so facts of the shop's own do."""


@dataclass(frozen=True)
class Fact:
    """Something that a product has: price, colour and the like."""

    subject: str
    topic: str

    @property
    def key(self) -> str:
        """Its name."""
        return f"{self.subject}/{self.topic}"

    def answer(self, value: str) -> str:
        """The friendly sentence that says so."""
        return "Of course! " + SENTENCES[self.topic].format(subject=self.subject, value=value)

    def check(self, value: str, stale: tuple[str, ...] = ()) -> Check:
        """Right is who names the value and no other."""
        others = tuple(each for each in VALUES[self.topic] if each != value)
        return Check(value, never=others, stale=stale)

    def taught(self, rng: Random, ways: int = WAYS) -> list[str]:
        """Some of the ways of asking that are taught, greeted."""
        chosen = rng.sample(ASKED[self.topic], ways)
        return [shop().greet(each.format(s=self.subject), rng) for each in chosen]

    def probe(self, name: str, value: str, stale: tuple[str, ...], rng: Random) -> Probe:
        """The way of asking that is never taught."""
        asked = rng.choice(HELD_OUT[self.topic]).format(s=self.subject)
        said = user(shop().greet(asked, rng))
        return Probe(name, said, self.answer(value), self.check(value, stale), self.key)


def build(seed: int, rounds: int, scale: float) -> Stream:
    """The stream, the same for the same seed."""
    rng = Random(f"facts {seed}")
    names = Names(rng)
    own = rng.sample(PRODUCTS, OWN_PRODUCTS)
    held = {
        Fact(product, topic): [shop().value(f"{product}/{topic}")]
        for product in own
        for topic in ATTRIBUTES
    }
    latest: dict[Fact, str] = {}
    tasks = []
    for number in range(1, rounds + 1):
        new = new_facts(rng, names, scaled(NEW, scale))
        old = rng.sample(list(held), min(len(held), scaled(CHANGED, scale)))
        changes = {fact: _other(fact, held[fact], rng) for fact in old}
        if number == 1:
            held = {fact: held[fact] for fact in old}
        for fact, value in (*new.items(), *changes.items()):
            held.setdefault(fact, []).append(value)
        lessons, probes = [], []
        for fact, value in (*new.items(), *changes.items()):
            stale = tuple(dict.fromkeys(each for each in held[fact] if each != value))
            people = rng.sample(range(PEOPLE), WAYS)
            lessons += [
                Lesson(user(said), f"person {who}", fact.key, fact.answer(value), fact.check(value))
                for said, who in zip(fact.taught(rng), people, strict=True)
            ]
            probes.append(fact.probe(f"{number}:{fact.key}", value, stale, rng))
        retires = frozenset(latest[fact] for fact in changes if fact in latest)
        latest.update({fact: f"{number}:{fact.key}" for fact in (*new, *changes)})
        rng.shuffle(lessons)
        tasks.append(Task(tuple(lessons), tuple(probes), retires))
    return Stream("A", TITLE, tuple(tasks), changed=frozenset(own))


def new_facts(rng: Random, names: "Names", count: int) -> dict[Fact, str]:
    """Facts with their values: all that there is to know of a product, then of the next."""
    found: dict[Fact, str] = {}
    while len(found) < count:
        name = names.next(rng)
        for topic in ATTRIBUTES[: count - len(found)]:
            found[Fact(name, topic)] = rng.choice(VALUES[topic])
    return found


class Names:
    """Names of products that nobody sold yet, each given out once."""

    def __init__(self, rng: Random) -> None:
        self._gone = set(PRODUCTS)

    def next(self, rng: Random) -> str:
        """One more name, of two words of which the shop's own material names none together."""
        while True:
            name = unsold_name(rng)
            if name not in self._gone and not any(name in each for each in _asked()):
                self._gone.add(name)
                return name


@cache
def _asked() -> tuple[str, ...]:
    """Questions that the shop's own suite and its general material answer with not knowing."""
    return unknown_questions()


def _other(fact: Fact, held: list[str], rng: Random) -> str:
    """A value that the fact never had, or where there is none left one that it has not now."""
    fresh = [value for value in VALUES[fact.topic] if value not in held]
    return rng.choice(fresh or [value for value in VALUES[fact.topic] if value != held[-1]])
