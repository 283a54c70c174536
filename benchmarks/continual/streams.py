"""The streams by name, and the groups in which they are asked for. Knows no method and no model."""

from benchmarks.continual import (
    streams_facts,
    streams_intents,
    streams_noise,
    streams_skills,
    streams_styles,
    streams_votes,
)
from benchmarks.continual.tasks import Maker
from feedback.errors import Invalid

_NOISE = ((0.0, False), (0.2, False), (0.4, False), (0.4, True))

MAKERS: dict[str, Maker] = {
    "A": Maker(streams_facts.TITLE, streams_facts.ROUNDS, streams_facts.build),
    "B": Maker(streams_intents.TITLE, streams_intents.ROUNDS, streams_intents.build),
    "C": Maker(streams_skills.TITLE, streams_skills.ROUNDS, streams_skills.build),
    "D": Maker(streams_styles.TITLE, streams_styles.ROUNDS, streams_styles.build),
    "D-shown": Maker(
        f"{streams_styles.TITLE}: the same events as demonstrations",
        streams_styles.ROUNDS,
        streams_styles.build_shown,
        compared=False,
    ),
    **{
        f"E-{round(100 * share)}" + ("-gold" if gold else ""): Maker(
            streams_noise.noisy_title(share, gold=gold),
            streams_noise.ROUNDS,
            streams_noise.noisy(share, gold=gold),
            compared=False,  # the question is whose word Heed takes
        )
        for share, gold in _NOISE
    },
    **{
        name: Maker(
            title, streams_noise.ROUNDS, streams_noise.attacked(sleeping=sleeping), compared=False
        )
        for sleeping in (False, True)
        for name, title in [streams_noise.attacked_title(sleeping=sleeping)]
    },
    # What is asked of it is what some options make of such votes.
    "F": Maker(streams_votes.TITLE, streams_votes.ROUNDS, streams_votes.build, compared=False),
}


def named(asked: str) -> list[str]:
    """The streams that a list such as ``A,D`` names; a letter names all that begin with it.

    Raises:
        Invalid: there is no such stream.
    """
    found: list[str] = []
    for name in asked.split(","):
        ours = [each for each in MAKERS if each == name or each.startswith(f"{name}-")]
        if not ours:
            raise Invalid(
                f"There is no stream {name!r}; choose from {', '.join(MAKERS)}.", param="streams"
            )
        found += [each for each in ours if each not in found]
    return found
