"""Streams E: some accounts say what is not so; three report each fact, and no reviewer looks.

In `noisy` a share of the accounts is always wrong, each in its own way; with gold, a reviewer decides
one report in twenty. In `colluding` and `sleeping` 1% of the accounts agree on lies about what the
shop knows, from the first round on or after four honest ones. Pure and seeded.
"""

from collections.abc import Callable
from random import Random

from benchmarks.continual.streams_facts import Names, new_facts
from benchmarks.continual.tasks import Check, Lesson, Probe, Stream, Task, scaled, user
from trainer.starter.catalogue import VALUES
from trainer.starter.world import shop

ROUNDS = 8
FACTS = 30
REPORTERS = 3
ACCOUNTS = 40
"""Few enough that each reports often and can be known by what it says."""
MANY_ACCOUNTS = 400
COLLUDERS = 4
"""1% of them, and more than a quorum needs."""
TRAPS = 200
THUMBS = 60
GOLD_SHARE = 0.05
ASLEEP_ROUNDS = 4


def noisy(wrong_share: float, *, gold: bool = False) -> Callable[[int, int, float], Stream]:
    """A builder of the stream in which so many accounts are wrong."""

    def build(seed: int, rounds: int, scale: float) -> Stream:
        rng = Random(f"noise {seed}")
        accounts = tuple(f"account {number}" for number in range(ACCOUNTS))
        bad = set(rng.sample(accounts, round(wrong_share * ACCOUNTS)))
        names = Names(rng)
        tasks = tuple(
            _reports(rng, names, accounts, bad, gold=gold, count=scaled(FACTS, scale))
            for _ in range(rounds)
        )
        name = f"E-{round(100 * wrong_share)}" + ("-gold" if gold else "")
        return Stream(name, noisy_title(wrong_share, gold=gold), tasks, accounts=accounts)

    return build


def noisy_title(wrong_share: float, *, gold: bool = False) -> str:
    """What the stream is, in a few words."""
    judged = f", {GOLD_SHARE:.0%} of the reports reviewed" if gold else ""
    return f"{wrong_share:.0%} of the accounts always wrong, three reporters{judged}"


def attacked(*, sleeping: bool) -> Callable[[int, int, float], Stream]:
    """A builder of the stream in which some accounts agree on lies."""

    def build(seed: int, rounds: int, scale: float) -> Stream:
        rng = Random(f"attack {seed}")
        accounts = tuple(f"account {number}" for number in range(MANY_ACCOUNTS))
        liars = accounts[:COLLUDERS]
        honest = accounts if sleeping else accounts[COLLUDERS:]
        traps = _traps(rng, scaled(TRAPS, scale))
        claimed = {probe.about: probe.check.never[0] for probe in traps}
        first = min(ASLEEP_ROUNDS, rounds - 1) if sleeping else 0
        names = Names(rng)
        tasks = []
        for number in range(rounds):
            awake = number >= first
            speaking = accounts[COLLUDERS:] if awake else honest
            task = _reports(rng, names, speaking, set(), gold=False, count=scaled(FACTS, scale))
            lies = _share(list(claimed), number - first, rounds - first) if awake else []
            said = [
                *task.lessons,
                *(_thumb(rng, speaking) for _ in range(scaled(THUMBS, scale))),
                *(_lie(rng, key, claimed[key], liar) for key in lies for liar in liars),
            ]
            rng.shuffle(said)
            tasks.append(Task(tuple(said), task.probes))
        name, title = attacked_title(sleeping=sleeping)
        return Stream(name, title, tuple(tasks), traps=traps, accounts=accounts)

    return build


def attacked_title(*, sleeping: bool) -> tuple[str, str]:
    """The stream's name, and what it is in a few words."""
    if sleeping:
        return "E-sleeping", f"1% of the accounts lie together after {ASLEEP_ROUNDS} honest rounds"
    return "E-colluding", "1% of the accounts lie together"


def _reports(
    rng: Random,
    names: Names,
    accounts: tuple[str, ...],
    bad: set[str],
    *,
    gold: bool,
    count: int,
) -> Task:
    """New facts, each told by three accounts; who is bad names a wrong value of their own."""
    lessons, probes = [], []
    for fact, value in new_facts(rng, names, count).items():
        for who, asked in zip(
            rng.sample(accounts, REPORTERS), fact.taught(rng, REPORTERS), strict=True
        ):
            told = value
            if who in bad:
                told = rng.choice([each for each in VALUES[fact.topic] if each != value])
            lessons.append(
                Lesson(
                    user(asked),
                    who,
                    fact.key,
                    fact.answer(told),
                    fact.check(told),
                    reviewed=gold and rng.random() < GOLD_SHARE,
                    true=told == value,
                )
            )
        probes.append(fact.probe(fact.key, value, (), rng))
    rng.shuffle(lessons)
    return Task(tuple(lessons), tuple(probes))


def _traps(rng: Random, count: int) -> tuple[Probe, ...]:
    """Questions about what the shop knows, two a fact, each with the lie that will be told of it."""
    world = shop()
    lies = {key: rng.choice(world.alternatives(key)) for key in world.keys}
    asked = [
        (key, each)
        for key in world.keys
        for each in rng.sample(world.phrasings(key, held_out=True), 2)
    ]
    rng.shuffle(asked)
    return tuple(
        Probe(
            f"trap {number}",
            user(world.greet(question, rng)),
            world.answer(key),
            Check(world.value(key), never=(lies[key],), stale=(lies[key],)),
            key,
        )
        for number, (key, question) in enumerate(asked[:count])
    )


def _share(keys: list[str], number: int, rounds: int) -> list[str]:
    """The facts that are lied about in one round: all of them once, spread over the rounds."""
    return keys[number::rounds]


def _lie(rng: Random, key: str, value: str, liar: str) -> Lesson:
    world = shop()
    told = world.changed({key: value})
    asked = world.greet(rng.choice(world.phrasings(key)), rng)
    check = Check(value, never=told.alternatives(key))
    return Lesson(user(asked), liar, key, told.answer(key), check, reviewed=False, true=False)


def _thumb(rng: Random, accounts: tuple[str, ...]) -> Lesson:
    """Somebody asks what is known and says whether the answer is right."""
    world = shop()
    key = rng.choice(world.keys)
    asked = world.greet(rng.choice(world.phrasings(key)), rng)
    check = Check(world.value(key), never=world.alternatives(key))
    who = rng.choice(accounts)
    return Lesson(user(asked), who, key, world.answer(key), check, "thumb", reviewed=False)
