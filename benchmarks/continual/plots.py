"""The report's pictures, drawn with matplotlib without a screen. Knows figures and names alone."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np


def curves(
    path: Path,
    lines: Mapping[str, Mapping[int, float]],
    *,
    title: str,
    ylabel: str = "share of answers that are right",
    limits: tuple[float, float] | None = (0.0, 1.02),
) -> None:
    """One line for each method, over the rounds; a method run at single rounds gets dots.

    Args:
        path: the PNG to write.
        lines: by method, the figure by round.
        title: what is shown.
        ylabel: of what.
        limits: of the vertical axis, or None as the figures have it.
    """
    figure, axes = _figure()
    for name, points in lines.items():
        if points:
            rounds = sorted(points)
            gaps = any(b - a > 1 for a, b in pairwise(rounds))
            axes.plot(
                rounds,
                [points[number] for number in rounds],
                label=name,
                marker="o" if gaps or len(rounds) < 3 else None,
                linestyle="none" if gaps else "-",
            )
    axes.set(title=title, xlabel="round", ylabel=ylabel)
    if limits:
        axes.set_ylim(*limits)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    _save(figure, path)


def matrix(path: Path, names: Sequence[str], found: Sequence[np.ndarray], *, title: str) -> None:
    """A[i, j], side by side for some methods: accuracy on task j after round i.

    Args:
        path: the PNG to write.
        names: of the methods.
        found: a matrix each, NaN where nothing was asked.
        title: what is shown.
    """
    figure, axes = _figure(columns=len(names))
    for at, name, values in zip(np.atleast_1d(axes), names, found, strict=True):
        rows, columns = values.shape
        shown = at.imshow(
            values,
            vmin=0,
            vmax=1,
            cmap="viridis",
            extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
            aspect="auto",
        )
        at.set(title=name, xlabel="task", ylabel="after round")
        for axis in (at.xaxis, at.yaxis):
            axis.get_major_locator().set_params(integer=True)
    figure.colorbar(shown, ax=axes, label="share right")
    figure.suptitle(title)
    _save(figure, path)


def _figure(columns: int = 1) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=(3.2 * columns + 3.4, 3.6), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    # No date and no version inside: the same figures give the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
