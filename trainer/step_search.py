"""How much of the way from the previous adapter to the new one is gone: tried on dev. No torch.

What was newly learned saturates before the end of the way, what is forgotten does not (Wortsman et
al., 2022, choose the share on held-out data, too); so the smallest share is taken that does nearly
as well as the best one.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer.settings import Plan

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TOLERANCE_POINTS = 0.5


@dataclass(frozen=True)
class Found:
    """The share that was chosen, and what each one scored, in points."""

    share: float
    points: dict[float, float]

    @property
    def note(self) -> str:
        """For whoever reads about the round."""
        scored = ", ".join(f"{share:g}: {points:.1f}" for share, points in self.points.items())
        return f"Went {self.share:g} of the way; points on dev at each share: {scored}."


def untuned(step_share: float | Literal["search"]) -> float:
    """Return the share that a plan goes where none is searched: for `search` the usual one."""
    if step_share != "search":
        return step_share
    usual: float = Plan.model_fields["step_share"].default
    return usual


def search(
    new: Path,
    *,
    interpolate: Callable[[Path, float], None],
    score: Callable[[Path, float], float],
) -> Found:
    """Rewrite the adapter in `new` as far along the way as dev asks for.

    Args:
        new: PEFT folder, all of the way; replaced.
        interpolate: rewrites the adapter in a folder as so much of the way.
        score: points on dev of the adapter in a folder, which is so much of the way.
    """
    tried = {share: new.with_name(f"{new.name}-at-{share:g}") for share in SHARES}
    points = {}
    try:
        for share, folder in tried.items():
            shutil.rmtree(folder, ignore_errors=True)  # what an earlier attempt left
            shutil.copytree(new, folder)
            interpolate(folder, share)
            points[share] = score(folder, share)
        found = Found(smallest(points), points)
        for file in tried[found.share].iterdir():
            file.replace(new / file.name)
    finally:
        for folder in tried.values():
            shutil.rmtree(folder, ignore_errors=True)
    return found


def smallest(points: Mapping[float, float]) -> float:
    """Return the smallest share within half a point of the best."""
    best = max(points.values())
    return min(share for share, value in points.items() if value >= best - TOLERANCE_POINTS)
