"""Stream B: what people want to do, and which desk does it: a generated verb times an object.

The desk's colour follows from the verb and its price mark from the object, so whoever has learned a
few intents could need fewer examples of the next. Pure and seeded.
"""

from random import Random

from benchmarks.continual.tasks import Check, Lesson, Probe, Stream, Task, scaled, user
from trainer.starter.catalogue import VALUES

TITLE = "10 new intents a round"
ROUNDS = 8
NEW = 10
PEOPLE = 40
_VERBS = ("cancel", "change", "rent", "repair", "insure", "sell", "clean", "swap")
_OBJECTS = (
    *("bicycle", "camera", "piano", "tent", "sofa", "printer", "carpet", "guitar", "mirror"),
    *("helmet", "jacket", "freezer"),
)
_TAUGHT = (
    "i want to {v} my {o}",
    "how do i {v} the {o}?",
    "can you {v} my {o}?",
    "who can {v} a {o}?",
)
_TESTED = "i need to {v} the {o}"
_COLOURS = VALUES["colour"]
_PRICES = VALUES["price"]


def build(seed: int, rounds: int, scale: float) -> Stream:
    """The stream, the same for the same seed.

    Raises:
        ValueError: there are not so many intents.
    """
    rng = Random(f"intents {seed}")
    intents = [(verb, thing) for verb in _VERBS for thing in _OBJECTS]
    colours = dict(zip(_VERBS, rng.sample(_COLOURS, len(_VERBS)), strict=True))
    prices = dict(zip(_OBJECTS, rng.sample(_PRICES, len(_OBJECTS)), strict=True))
    rng.shuffle(intents)
    count = scaled(NEW, scale)
    if count * rounds > len(intents):
        raise ValueError(f"There are {len(intents)} intents, not {count * rounds}.")
    tasks = []
    for number in range(rounds):
        lessons, probes = [], []
        for verb, thing in intents[count * number : count * (number + 1)]:
            named = f"the {colours[verb]} desk, {prices[thing]}"
            answer = f"Of course! Please ask {named}."
            check = Check(named)
            people = rng.sample(range(PEOPLE), len(_TAUGHT))
            lessons += [
                Lesson(
                    user(way.format(v=verb, o=thing)),
                    f"person {who}",
                    f"{verb} {thing}",
                    answer,
                    check,
                )
                for way, who in zip(_TAUGHT, people, strict=True)
            ]
            said = user(_TESTED.format(v=verb, o=thing))
            probes.append(Probe(f"{verb} {thing}", said, answer, check, f"{verb} {thing}"))
        rng.shuffle(lessons)
        tasks.append(Task(tuple(lessons), tuple(probes)))
    return Stream("B", TITLE, tuple(tasks))
