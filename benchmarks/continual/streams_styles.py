"""Stream D: two groups that want their answers otherwise, told apart by their system prompt.

One wants short answers and the other friendly ones, whatever the tone of the question; they say so
by thumbs alone. Beside it stands the same stream with the wanted answer written out, event for
event. What is asked for is known from the start: only the style is to be learned. Pure and seeded.
"""

from random import Random

from benchmarks.continual.tasks import Check, Lesson, Probe, Said, Stream, Task, scaled, user
from trainer.starter.world import Register, shop

TITLE = "style by thumbs, two groups that disagree"
ROUNDS = 8
EVENTS, TESTS = 60, 25
"""A round and group."""
PEOPLE = 80
GROUPS: dict[str, Register] = {
    "You answer for the store.": "curt",
    "You answer for the team.": "polite",
}


def build(seed: int, rounds: int, scale: float) -> Stream:
    """By thumbs."""
    return _build(seed, rounds, scale, name="D", said="thumb")


def build_shown(seed: int, rounds: int, scale: float) -> Stream:
    """The same events as demonstrations."""
    return _build(seed, rounds, scale, name="D-shown", said="correction")


def _build(seed: int, rounds: int, scale: float, *, name: str, said: Said) -> Stream:
    rng = Random(f"styles {seed}")
    tasks = []
    for number in range(rounds):
        lessons, probes = [], []
        for system, register in GROUPS.items():
            for _ in range(scaled(EVENTS, scale)):
                lessons.append(lesson(rng, system, register, said))
            for place in range(scaled(TESTS, scale)):
                probes.append(probe(rng, system, register, f"{number} {register} {place}"))
        rng.shuffle(lessons)
        tasks.append(Task(tuple(lessons), tuple(probes)))
    return Stream(name, TITLE if said == "thumb" else "the same, shown", tuple(tasks))


def lesson(rng: Random, system: str, register: Register, said: Said) -> Lesson:
    """Somebody of the group asks something, and says so what they think of the answer."""
    world = shop()
    key = rng.choice(world.keys)
    asked = rng.choice(world.phrasings(key))
    if rng.random() < 0.5:
        asked = world.greet(asked, rng)
    return Lesson(
        user(asked, system),
        f"{register} person {rng.randrange(PEOPLE)}",
        f"{register} {key}",
        world.answer(key, register),
        _wants(key, register),
        said,
        reviewed=said == "correction",
    )


def _wants(key: str, register: Register) -> Check:
    """The fact, in the group's manner."""
    world = shop()
    return Check(world.value(key), never=world.alternatives(key), polite=register == "polite")


def probe(rng: Random, system: str, register: Register, name: str) -> Probe:
    """A question asked in the other tone, or the starter's habit would pass for learning."""
    world = shop()
    key = rng.choice(world.keys)
    asked = rng.choice(world.phrasings(key, held_out=True))
    if register == "curt":
        asked = world.greet(asked, rng)
    return Probe(
        name,
        user(asked, system),
        world.answer(key, register),
        _wants(key, register),
        f"{register} {key}",
    )
