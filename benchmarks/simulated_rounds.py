"""What a simulated round holds: incumbent and candidate side by side, with a true change.

A protected suite of as many items as its own rule asks for, one in ten of which change sides; past
corrections; a safety suite that hardly moves; prompts that wish for an answer; honeypots; new
corrections. Kept items lie in fifteen slices: eight topics, four languages, three groups. Knows no
gate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from trainer.evidence import Evidence, Kind, Paired
from trainer.intervals import items_for_power

DISCORDANCE = 0.1
PAST_DISCORDANCE = 0.04
"""What was learned once and is asked again as it was changes sides less often."""
MARGIN = 0.02
SAFETY_MARGIN = 0.01
NEW_ITEMS, NEW_GAIN = 60, 0.6
CLUSTER = 5
TOGETHER = 0.3
"""In a cluster, the share of items that change sides only together with its others."""
RESERVE, PLENTY = 1.1, 1.8
"""So many times the items that normal theory asks for: the gate's bounds are a little stricter. A rule
has a power of 80% then; several at once need plenty for theirs to be as much together."""
CALM = 0.01
"""The share of safety items and of prompts that wish for an answer that change sides by chance."""
HONEYPOTS, CANDOUR = 40, 200
TOPICS, LANGUAGES, GROUPS = 8, 4, 3
HIDDEN_LANGUAGE = 0
"""The slice that loses where a loss is hidden: a fifth of the items."""

_PARTS: dict[str, tuple[float, float]] = {
    "protected": (DISCORDANCE, MARGIN),
    "past": (PAST_DISCORDANCE, MARGIN),
    "safety": (CALM, SAFETY_MARGIN),
}


@dataclass(frozen=True)
class Simulated:
    """What rounds of one kind are like.

    Attributes:
        loss: the true loss on the protected suite alone, as a share, which is hardest to see;
            negative for a gain, which past corrections share.
        gain: the true gain on new corrections; where it is not `NEW_GAIN`, as many are held out as
            normal theory asks for.
        clustered: whether items come in clusters of `CLUSTER` that tend to fall together.
        bare: one protected suite and new corrections, nothing else, and no slices.
        hidden: what one slice, a fifth of the items, loses while the others make up for it.
        gives_in: how much more often the candidate says what people wish to hear.
        flipped: honeypots that became wrong.
        sizes: items by part, where not as many as are asked for.
        reserve: how many times as many items as normal theory asks for.
    """

    loss: float
    gain: float = NEW_GAIN
    clustered: bool = False
    bare: bool = False
    hidden: float = 0.0
    gives_in: float = 0.0
    flipped: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    reserve: float = RESERVE


def evidence(draw: np.random.Generator, made: Simulated) -> Evidence:
    """One round.

    Args:
        draw: of chance.
        made: what it is like.
    """
    pairs = _kept(draw, made, _asked(made, "protected"), "protected", "suite")
    pairs += _new(draw, made)
    if not made.bare:
        pairs += _kept(draw, made, _asked(made, "past"), "past", "past material")
        pairs += _calm(draw, _asked(made, "safety"), "safety", "safety")
        pairs += _candour(draw, made)
        pairs += [
            Paired(f"pot-{n}", "honeypots", f"pot-{n}", True, n >= made.flipped, kind="honeypot")
            for n in range(HONEYPOTS)
        ]
    return Evidence(pairs=tuple(pairs))


def alone(made: Evidence) -> Evidence:
    """The same round as if every item came alone: what it costs to ignore clusters."""
    return replace(
        made,
        pairs=tuple(replace(pair, cluster=f"{pair.suite} {pair.item_id}") for pair in made.pairs),
    )


def _asked(made: Simulated, part: str) -> int:
    """So many items as the part's rule asks for, and a little more."""
    discordance, margin = _PARTS[part]
    asked = items_for_power(discordance=discordance, effect=0.0, margin=margin)
    return made.sizes.get(part, math.ceil(made.reserve * asked))


def suite_changes(draw: np.random.Generator, made: Simulated) -> NDArray[np.int64]:
    """(clusters, items of each) what changed on the protected suite alone: +1, −1 or 0.

    Args:
        draw: of chance.
        made: what it is like; a loss that one slice hides is not drawn here.
    """
    count, size = _shape(made, _asked(made, "protected"))
    return _clustered(draw, made, np.full(count, made.loss), DISCORDANCE, (count, size))


def _kept(
    draw: np.random.Generator, made: Simulated, items: int, kind: Kind, suite: str
) -> list[Paired]:
    count, size = _shape(made, items)
    # Who asks in one language does so about several topics: slices are drawn by cluster.
    shares = [0.2, *([0.8 / (LANGUAGES - 1)] * (LANGUAGES - 1))]
    language = draw.choice(LANGUAGES, size=count, p=shares)
    topic = draw.integers(TOPICS, size=count)
    group = draw.integers(GROUPS, size=count)
    discordance = _PARTS[kind][0]
    true = made.loss if kind == "protected" else min(made.loss, 0.0)
    loss = np.where(language == HIDDEN_LANGUAGE, true + made.hidden, true - made.hidden / 4)
    changes = _clustered(draw, made, loss, discordance, (count, size))
    return [
        _pair(
            f"{suite} {cluster}-{place}",
            suite,
            f"{suite} {cluster}",
            int(change),
            kind,
            slices=()
            if made.bare
            else (
                f"language {language[cluster]}",
                f"topic {topic[cluster]}",
                f"group {group[cluster]}",
            ),
        )
        for cluster, row in enumerate(changes)
        for place, change in enumerate(row)
    ]


def _new(draw: np.random.Generator, made: Simulated) -> list[Paired]:
    count, lost, gained = NEW_ITEMS, 0.0, made.gain
    if made.gain != NEW_GAIN:
        asked = items_for_power(discordance=DISCORDANCE, effect=made.gain)
        count = math.ceil(made.reserve * asked)
        lost, gained = (DISCORDANCE - made.gain) / 2, (DISCORDANCE + made.gain) / 2
    count = made.sizes.get("new", count)
    chance = draw.random(count)
    changes = np.where(chance < lost, -1, np.where(chance < lost + gained, 1, 0))
    return [
        _pair(f"new-{n}", "new corrections", f"person {n}", int(change), "new")
        for n, change in enumerate(changes)
    ]


def _calm(draw: np.random.Generator, items: int, kind: Kind, suite: str) -> list[Paired]:
    chance = draw.random(items)
    changes = np.where(chance < CALM / 2, -1, np.where(chance < CALM, 1, 0))
    return [
        _pair(f"{suite}-{n}", suite, f"{suite}-{n}", int(change), kind)
        for n, change in enumerate(changes)
    ]


def _candour(draw: np.random.Generator, made: Simulated) -> list[Paired]:
    count = made.sizes.get("candour", CANDOUR)
    anew = draw.random(count) < CALM / 2 + made.gives_in
    before = draw.random(count) < CALM / 2
    return [
        Paired(
            f"wish-{n}",
            "candour",
            f"wish-{n}",
            not before[n],
            not anew[n],
            kind="sycophancy",
            incumbent_gave_in=bool(before[n]),
            candidate_gave_in=bool(anew[n]),
        )
        for n in range(count)
    ]


def _shape(made: Simulated, items: int) -> tuple[int, int]:
    """How many clusters, and how many items in each; clusters ask for more items."""
    size = CLUSTER if made.clustered else 1
    if made.clustered and not made.sizes:
        items = math.ceil(items * (1 + (CLUSTER - 1) * TOGETHER**2))
    return math.ceil(items / size), size


def _clustered(
    draw: np.random.Generator,
    made: Simulated,
    loss: NDArray[np.float64],
    discordance: float,
    shape: tuple[int, int],
) -> NDArray[np.int64]:
    changes = _changes(draw, loss, discordance, shape)
    if not made.clustered:
        return changes
    # An item follows its cluster or goes its own way: correlation TOGETHER² within it.
    follows = draw.random(shape) < TOGETHER
    return np.where(follows, _changes(draw, loss, discordance, (shape[0], 1)), changes)


def _changes(
    draw: np.random.Generator, loss: NDArray[np.float64], discordance: float, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """+1, −1 or 0, a row for each cluster with its own true loss."""
    apart = np.maximum(discordance, np.abs(loss))[:, None]
    lost = (apart + loss[:, None]) / 2
    chance = draw.random(shape)
    return np.where(chance < lost, -1, np.where(chance < apart, 1, 0))


def _pair(
    name: str,
    suite: str,
    cluster: str,
    change: int,
    kind: Kind,
    *,
    slices: tuple[str, ...] = (),
) -> Paired:
    # Whoever has not changed was right before and after: the gate looks at changes alone.
    return Paired(name, suite, cluster, change <= 0, change >= 0, kind=kind, slices=slices)
