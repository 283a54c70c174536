"""Stream C: small skills, one a round: put in order, turn round, write in another form.

Every test is of words that were never taught together, in any order: nothing can be looked up. Pure
and seeded.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from random import Random

from benchmarks.continual.tasks import Check, Lesson, Probe, Stream, Task, scaled, user
from trainer.starter.catalogue import DAYS, VALUES

TITLE = "one small skill a round: sort, reverse, format"
EXAMPLES, TESTS = 160, 40
TESTED_SHARE = 0.2
"""Of the sets of words, those kept for testing."""
PEOPLE = 60
_COLOURS = VALUES["colour"]

Words = Sequence[str]


def _in_week(words: Words) -> str:
    return " ".join(sorted(words, key=DAYS.index))


_SKILLS: tuple[tuple[str, tuple[str, ...], Callable[[Words], str]], ...] = (
    ("reverse", _COLOURS, lambda words: " ".join(reversed(words))),
    ("sort", DAYS, _in_week),
    ("format", _COLOURS, lambda words: f"{', '.join(words[:-1])} and {words[-1]}"),
    ("first", DAYS, lambda words: words[0]),
    ("last", _COLOURS, lambda words: words[-1]),
    ("swap", DAYS, lambda words: " ".join((words[-1], *words[1:-1], words[0]))),
    ("without", _COLOURS, lambda words: " ".join(words[1:])),
    ("earliest", DAYS, lambda words: min(words, key=DAYS.index)),
)
ROUNDS = len(_SKILLS)


def build(seed: int, rounds: int, scale: float) -> Stream:
    """The stream, the same for the same seed.

    Raises:
        ValueError: there are not so many skills.
    """
    if rounds > ROUNDS:
        raise ValueError(f"There are {ROUNDS} skills, not {rounds}.")
    rng = Random(f"skills {seed}")
    tasks = []
    for name, vocabulary, does in _SKILLS[:rounds]:
        taught, tested = _inputs(vocabulary, rng)
        taught, tested = taught[: scaled(EXAMPLES, scale)], tested[: scaled(TESTS, scale)]
        lessons, probes = [], []
        for words in (*taught, *tested):
            asked = user(f"{name}: {' '.join(words)}")
            right = does(words)
            check, answer = Check(right, exact=True), right[0].upper() + right[1:] + "."
            if words in taught:
                who = f"person {rng.randrange(PEOPLE)}"
                lessons.append(Lesson(asked, who, f"{name} {words}", answer, check))
            else:
                probes.append(Probe(f"{name} {words}", asked, answer, check, f"{name} {words}"))
        tasks.append(Task(tuple(lessons), tuple(probes)))
    return Stream("C", TITLE, tuple(tasks))


def _inputs(vocabulary: Words, rng: Random) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Three words in some order: those to teach, and those to test, of other words."""
    sets = list(combinations(vocabulary, 3))
    rng.shuffle(sets)
    kept = round(TESTED_SHARE * len(sets))
    found = []
    for some in (sets[kept:], sets[:kept]):
        ordered = [order for words in some for order in permutations(words)]
        rng.shuffle(ordered)
        found.append(ordered)
    return found[0], found[1]
