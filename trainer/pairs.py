"""Two answers to one prompt, compared by people who do not know whose is whose. Pure.

Chooses which pairs are worth a look, on which side each answer is shown to whom, and adds verdicts
up. Knows no database, no model and no gate.
"""

import hashlib
import hmac
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainer.evidence import Kind
from trainer.examples import Message
from trainer.intervals import paired_difference, sign_test
from trainer.replay import place
from trainer.suites import agrees

Source = Kind | Literal["live"]
"""Where a prompt comes from: a kind of suite, or `live` for what nobody gave feedback on."""
Choice = Literal["left", "right", "tie", "both_bad"]

_TWO_SIDED = 0.025
"""Each side of a 95% interval."""


@dataclass(frozen=True)
class Pair:
    """One prompt with both models' answers.

    Attributes:
        source: where the prompt comes from.
        suite: that it counts for; empty for live prompts.
        item_id: names it there; of a live prompt, its exchange.
        cluster: prompts of one cluster stand or fall together.
        messages: the conversation before the answer.
        incumbent_answer: what the incumbent says.
        candidate_answer: what the candidate says.
    """

    source: Source
    suite: str
    item_id: str
    cluster: str
    messages: tuple[Message, ...]
    incumbent_answer: str
    candidate_answer: str


@dataclass(frozen=True)
class Told:
    """One verdict.

    Attributes:
        pair_id: of what.
        cluster: of the pair's prompt.
        reviewer: who.
        candidate_left: whether the candidate's answer was on the left for that reviewer.
        choice: what was preferred.
    """

    pair_id: str
    cluster: str
    reviewer: str
    candidate_left: bool
    choice: Choice

    @property
    def change(self) -> int:
        """+1 for the candidate, −1 for the incumbent, 0 for neither."""
        if self.choice not in ("left", "right"):
            return 0
        return 1 if (self.choice == "left") == self.candidate_left else -1


@dataclass(frozen=True)
class Tally:
    """What reviewers said of a round's pairs. Shares are 0 to 1; intervals are two-sided, 95%.

    Attributes:
        pairs: pairs with at least one verdict.
        clusters: independent groups among their prompts.
        verdicts: of all reviewers.
        reviewers: how many.
        wins: verdicts for the candidate.
        losses: verdicts for the incumbent.
        ties: verdicts that both are as good.
        both_bad: verdicts that neither will do.
        win_rate: wins and half of what was neither, of all verdicts.
        win_low: lower bound of the win rate.
        win_high: upper bound.
        clusters_won: groups that on the whole prefer the candidate.
        clusters_lost: groups that on the whole prefer the incumbent.
        sign_p: exact two-sided sign test on those two counts.
        left_share: of the verdicts for one side, those for the left; None where there are none.
        left_low: lower bound of that share.
        left_high: upper bound.
    """

    pairs: int
    clusters: int
    verdicts: int
    reviewers: int
    wins: int
    losses: int
    ties: int
    both_bad: int
    win_rate: float
    win_low: float
    win_high: float
    clusters_won: int
    clusters_lost: int
    sign_p: float
    left_share: float | None
    left_low: float | None
    left_high: float | None


def differing(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs whose answers are not the same but for case, spacing and punctuation, each once."""
    found: dict[tuple[Any, ...], Pair] = {}
    for pair in pairs:
        if not agrees(pair.incumbent_answer, pair.candidate_answer):
            said = tuple((turn["role"], turn["content"]) for turn in pair.messages)
            found.setdefault((said, pair.incumbent_answer, pair.candidate_answer), pair)
    return list(found.values())


def choose(pairs: Sequence[Pair], *, most: int, seed: int) -> list[Pair]:
    """So many pairs, from every source as evenly as there are, and of as many clusters.

    A round whose news differ in hundreds of prompts would otherwise hide the two in a safety suite
    that differ as well.

    Args:
        pairs: what differs.
        most: how many at most.
        seed: of the choice; the order of the pairs does not matter.
    """
    by_source: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_source.setdefault(pair.source, []).append(pair)
    queues = [_spread(members, f"{seed}:{source}") for source, members in sorted(by_source.items())]
    chosen: list[Pair] = []
    while any(queues) and len(chosen) < most:
        for queue in queues:
            if queue and len(chosen) < most:
                chosen.append(queue.pop(0))
    return chosen


def candidate_left(secret: str, reviewer: str) -> bool:
    """Whether a reviewer sees the candidate's answer of a pair on the left.

    The first bit of HMAC-SHA-256 (RFC 2104): as fair as a coin for every reviewer and pair, and
    always the same for both.

    Args:
        secret: of the pair, known to nobody who judges.
        reviewer: who looks.
    """
    return _keyed(secret, "side", reviewer)[0] < 128


def turn(secret: str, reviewer: str) -> bytes:
    """Where a pair stands in a reviewer's queue. Everybody has another order, so few verdicts of
    several people cover many prompts."""
    return _keyed(secret, "turn", reviewer)


def tally(told: Sequence[Told], *, seed: int) -> Tally | None:
    """Add verdicts up; None where there are none.

    A prompt's verdicts, and those of prompts that stand or fall together, are one cluster in every
    interval. The sign test (its exact form: Dixon and Mood 1946, "The statistical sign test")
    counts clusters, since verdicts within one are not independent.

    Args:
        told: every verdict, one for each reviewer and pair.
        seed: of the resampling.
    """
    if not told:
        return None
    choices = [each.choice for each in told]
    changes = [each.change for each in told]
    clusters = [each.cluster for each in told]
    preferred = paired_difference(changes, clusters, seed=seed, alpha=_TWO_SIDED)
    net: dict[str, int] = {}
    for each in told:
        net[each.cluster] = net.get(each.cluster, 0) + each.change
    won = sum(count > 0 for count in net.values())
    lost = sum(count < 0 for count in net.values())
    sided = [each for each in told if each.choice in ("left", "right")]
    leaning = (
        paired_difference(
            [1 if each.choice == "left" else -1 for each in sided],
            [each.cluster for each in sided],
            seed=seed,
            alpha=_TWO_SIDED,
        )
        if sided
        else None
    )
    return Tally(
        pairs=len({each.pair_id for each in told}),
        clusters=preferred.clusters,
        verdicts=len(told),
        reviewers=len({each.reviewer for each in told}),
        wins=preferred.gained,
        losses=preferred.lost,
        ties=choices.count("tie"),
        both_bad=choices.count("both_bad"),
        win_rate=_share(preferred.estimate),
        win_low=_share(preferred.lower),
        win_high=_share(preferred.upper),
        clusters_won=won,
        clusters_lost=lost,
        sign_p=min(1.0, 2 * sign_test(max(won, lost), min(won, lost))) if won + lost else 1.0,
        left_share=None if leaning is None else _share(leaning.estimate),
        left_low=None if leaning is None else _share(leaning.lower),
        left_high=None if leaning is None else _share(leaning.upper),
    )


def still_needed(judged: int, pairs: int, needed: int) -> int:
    """How many more pairs need a verdict before verdicts are counted.

    Args:
        judged: pairs that have one.
        pairs: that the round has; where they are fewer than are needed, all of them are enough.
        needed: as the plan says.
    """
    return max(0, min(needed, pairs) - judged)


def _spread(pairs: Sequence[Pair], seed: str) -> list[Pair]:
    """In seeded order, every cluster's first before anyone's second."""
    ordered = sorted(pairs, key=lambda each: place(f"{seed}:{each.suite}:{each.item_id}"))
    seen: dict[str, int] = {}
    ranks: list[tuple[int, int]] = []
    for at, each in enumerate(ordered):
        seen[each.cluster] = seen.get(each.cluster, -1) + 1
        ranks.append((seen[each.cluster], at))
    return [ordered[at] for _, at in sorted(ranks)]


def _keyed(secret: str, purpose: str, reviewer: str) -> bytes:
    said = f"{purpose}\0{reviewer}".encode(errors="surrogatepass")
    return hmac.new(secret.encode(), said, hashlib.sha256).digest()


def _share(net: float) -> float:
    """A net preference between −1 and 1 as a share between 0 and 1."""
    return min(1.0, max(0.0, (1 + net) / 2)) if math.isfinite(net) else 0.5
