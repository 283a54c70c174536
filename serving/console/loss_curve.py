"""A round's loss curve as SVG: the loss of every step, and the loss on dev where it was looked at. Pure.

Drawn from the points that `trainer.curve` returns. Knows no NiceGUI.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 640, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 28
_TICKS = 4


def svg(points: Sequence[Mapping[str, Any]]) -> str:
    """Return the picture; its words say the same to those who do not see it.

    Args:
        points: steps with `step`, `steps`, `loss` and maybe `dev_loss`; at least one. What is no
            finite number is left out.
    """
    losses = [(p["step"], p["loss"]) for p in points if _finite(p.get("loss"))]
    dev = [(p["step"], p["dev_loss"]) for p in points if _finite(p.get("dev_loss"))]
    values = [value for _, value in (*losses, *dev)] or [0.0]
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or max(abs(high) * 0.1, 0.1)
    low, high = (max(low - room, 0.0) if low >= 0 else low - room), high + room
    most = max(int(points[-1].get("steps") or 0), int(points[-1]["step"]), 2)

    def place(step: float, value: float) -> str:
        x = _LEFT + (step - 1) / (most - 1) * (WIDTH - _LEFT - _RIGHT)
        y = _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    def line(found: Sequence[tuple[float, float]], name: str) -> str:
        if not found:
            return ""
        shape = " ".join(place(*each) for each in found)
        x, y = place(*found[-1]).split(",")
        end = f'<circle class="{name}" cx="{x}" cy="{y}" r="3"/>'
        return f'<polyline class="{name}" points="{shape}"/>{end}'

    levels = [low + (high - low) * at / (_TICKS - 1) for at in range(_TICKS)]
    rules = "".join(
        f'<path class="rule" d="M{_LEFT} {(y := float(place(1, level).split(",")[1])):.1f}'
        f'H{WIDTH - _RIGHT}"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
        f"{level:.3g}</text>"
        for level in levels
    )
    foot = HEIGHT - 8
    axis = (
        f'<text x="{_LEFT}" y="{foot}">step 1</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{foot}" text-anchor="end">{most}</text>'
    )
    return (
        f'<svg class="heed-curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{told(points)}"><title>{told(points)}</title>'
        f"{rules}{axis}{line(losses, 'loss')}{line(dev, 'dev')}</svg>"
    )


def told(points: Sequence[Mapping[str, Any]]) -> str:
    """Return the curve in words."""
    last = points[-1]
    said = f"Loss {_number(points[0].get('loss'))} → {_number(last.get('loss'))}"
    said += f" in {last['step']} of {last.get('steps') or last['step']} steps"
    dev = [p["dev_loss"] for p in points if _finite(p.get("dev_loss"))]
    return f"{said}, on dev {_number(dev[0])} → {_number(dev[-1])}" if dev else said


def _number(value: Any) -> str:
    return f"{value:.3g}" if _finite(value) else "unknown"


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
