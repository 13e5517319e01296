"""The box's drawings as strokes in a unit square (0..1, y downwards), so that they are sharp at every size.

The renderer draws each path as a line with round ends and joints; a filled path is painted as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Path:
    points: tuple[Point, ...]
    closed: bool = False
    filled: bool = False


def _line(*points: Point) -> Path:
    return Path(points)


def _arc(cx: float, cy: float, radius: float, start: float, end: float, steps: int = 40) -> Path:
    """From `start` to `end` in turns, clockwise from the top."""
    turns = [start + (end - start) * i / steps for i in range(steps + 1)]
    return Path(tuple((cx + radius * sin(2 * pi * t), cy - radius * cos(2 * pi * t)) for t in turns))


def _circle(cx: float, cy: float, radius: float) -> Path:
    return Path(_arc(cx, cy, radius, 0, 1).points, closed=True)


def _dot(cx: float, cy: float, radius: float) -> Path:
    return Path(_arc(cx, cy, radius, 0, 1, 16).points, closed=True, filled=True)


def _round_rect(x0: float, y0: float, x1: float, y1: float, radius: float) -> Path:
    corners = (
        (x1 - radius, y0 + radius, 0.0),
        (x1 - radius, y1 - radius, 0.25),
        (x0 + radius, y1 - radius, 0.5),
        (x0 + radius, y0 + radius, 0.75),
    )
    points: tuple[Point, ...] = ()
    for cx, cy, turn in corners:
        points += _arc(cx, cy, radius, turn, turn + 0.25, 8).points
    return Path(points, closed=True)


def _corner(x: float, y: float, dx: int, dy: int, length: float, radius: float) -> Path:
    """A bracket's corner at (x, y) whose legs go towards dx and dy (each +1 or -1)."""
    quarter = [pi / 2 * step / 8 for step in range(9)]
    bend = [(x + dx * radius * (1 - sin(t)), y + dy * radius * (1 - cos(t))) for t in quarter]
    return Path(((x + dx * length, y), *bend, (x, y + dy * length)))


_SLASH = _line((0.14, 0.12), (0.88, 0.88))

ICONS: dict[str, tuple[Path, ...]] = {
    "check": (_line((0.18, 0.53), (0.41, 0.75), (0.83, 0.28)),),
    "cross": (_line((0.24, 0.24), (0.76, 0.76)), _line((0.76, 0.24), (0.24, 0.76))),
    "warning": (
        Path(((0.5, 0.14), (0.92, 0.84), (0.08, 0.84)), closed=True),
        _line((0.5, 0.40), (0.5, 0.60)),
        _dot(0.5, 0.725, 0.005),
    ),
    "lock": (
        _round_rect(0.20, 0.45, 0.80, 0.88, 0.08),
        Path(((0.32, 0.45), *_arc(0.5, 0.32, 0.18, -0.25, 0.25).points, (0.68, 0.45))),
        _line((0.5, 0.62), (0.5, 0.71)),
    ),
    "clock": (_circle(0.5, 0.5, 0.40), _line((0.5, 0.26), (0.5, 0.5), (0.66, 0.60))),
    "back": (
        Path(((0.32, 0.24), (0.90, 0.24), (0.90, 0.76), (0.32, 0.76), (0.08, 0.5)), closed=True),
        _line((0.49, 0.39), (0.71, 0.61)),
        _line((0.71, 0.39), (0.49, 0.61)),
    ),
    "menu": (_line((0.22, 0.3), (0.78, 0.3)), _line((0.22, 0.5), (0.78, 0.5)), _line((0.22, 0.7), (0.78, 0.7))),
    "undo": (
        _line((0.36, 0.16), (0.16, 0.36), (0.36, 0.56)),
        Path(((0.16, 0.36), (0.60, 0.36), *_arc(0.60, 0.59, 0.23, 0.0, 0.5).points, (0.34, 0.82))),
    ),
    "offline": (
        _arc(0.5, 0.80, 0.62, -0.115, 0.115),
        _arc(0.5, 0.80, 0.38, -0.115, 0.115),
        _dot(0.5, 0.78, 0.03),
        _SLASH,
    ),
    "camera": (
        _round_rect(0.08, 0.28, 0.92, 0.84, 0.10),
        _circle(0.5, 0.56, 0.17),
        _line((0.36, 0.27), (0.42, 0.16), (0.58, 0.16), (0.64, 0.27)),
    ),
    "person": (
        _circle(0.5, 0.32, 0.18),
        Path((*_arc(0.5, 0.92, 0.34, -0.25, 0.25).points,)),
    ),
    "shield": (
        Path(
            (
                (0.5, 0.10),
                (0.84, 0.22),
                (0.84, 0.50),
                (0.72, 0.74),
                (0.5, 0.90),
                (0.28, 0.74),
                (0.16, 0.50),
                (0.16, 0.22),
            ),
            closed=True,
        ),
        _line((0.35, 0.50), (0.46, 0.61), (0.66, 0.40)),
    ),
    "face": (
        _corner(0.10, 0.10, 1, 1, 0.22, 0.10),
        _corner(0.90, 0.10, -1, 1, 0.22, 0.10),
        _corner(0.10, 0.90, 1, -1, 0.22, 0.10),
        _corner(0.90, 0.90, -1, -1, 0.22, 0.10),
        _line((0.37, 0.36), (0.37, 0.43)),
        _line((0.63, 0.36), (0.63, 0.43)),
        _line((0.51, 0.38), (0.51, 0.54), (0.47, 0.54)),
        _arc(0.5, 0.52, 0.19, 0.36, 0.64),
    ),
}
