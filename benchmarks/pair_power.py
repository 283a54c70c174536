"""What reviewers' verdicts decide: how often they promote what people like less, and what they like.

    python -m benchmarks.pair_power [--rounds 1000] [--pairs 40] [--reviewers 1] [--ignore-clusters] [--json]

Rounds are simulated as verdicts on pairs and judged by the product's rule, with the margin of the
settings. Reviewers of one pair mostly agree: with the chance `AGREE` they say what the pair's first
reviewer said. With `--ignore-clusters` every verdict counts as a pair of its own.
"""

import argparse
import json
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.progress import track

from trainer.pair_rule import preferred
from trainer.pairs import Choice, Told
from trainer.settings import Plan

PREFERENCES = (-0.2, 0.0, 0.1, 0.2, 0.3)
"""True net preferences: the share for the candidate less the share for the incumbent."""
NEITHER = 0.3
AGREE = 0.7


def verdicts(
    draw: np.random.Generator, *, net: float, pairs: int, reviewers: int = 1
) -> list[Told]:
    """Simulate one round's verdicts.

    Args:
        draw: of chance.
        net: the true net preference.
        pairs: that are judged.
        reviewers: who judge each of them.
    """
    sided = 1 - NEITHER
    shares = [(sided + net) / 2, (sided - net) / 2, NEITHER]
    choices: list[Choice] = ["left", "right", "tie"]
    found = []
    for number in range(pairs):
        first = draw.choice(3, p=shares)
        for each in range(reviewers):
            said = first if draw.random() < AGREE or not each else draw.choice(3, p=shares)
            found.append(Told(f"p{number}", f"c{number}", f"r{each}", True, choices[said]))
    return found


def shares(
    net: float, *, rounds: int, pairs: int, reviewers: int, ignore_clusters: bool = False
) -> dict[str, float]:
    """Return the share of simulated rounds by what the rule says of them."""
    draw = np.random.default_rng(0)
    margin = Plan().gate_pairs_margin_points
    counts = dict.fromkeys(("holds", "refuse", "abstain"), 0)
    for number in track(range(rounds), description=f"{100 * net:+.0f} points", transient=True):
        told = verdicts(draw, net=net, pairs=pairs, reviewers=reviewers)
        if ignore_clusters:
            told = [replace(each, cluster=str(at)) for at, each in enumerate(told)]
        counts[preferred(told, margin_points=margin, seed=number).outcome] += 1
    return {name: count / rounds for name, count in counts.items()}


def main() -> None:
    """Simulate rounds of every true preference, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=Plan().gate_pairs_needed)
    parser.add_argument("--reviewers", type=int, default=1)
    parser.add_argument("--ignore-clusters", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = {
        net: shares(
            net,
            rounds=asked.rounds,
            pairs=asked.pairs,
            reviewers=asked.reviewers,
            ignore_clusters=asked.ignore_clusters,
        )
        for net in PREFERENCES
    }
    if asked.json:
        print(json.dumps({f"{net:+.2f}": each for net, each in found.items()}, indent=2))
        return
    console = Console(highlight=False)
    for net, each in found.items():
        told = ", ".join(f"{name} {share:.1%}" for name, share in each.items())
        console.print(f"truly {100 * net:+.0f} points: {told}")


if __name__ == "__main__":
    main()
