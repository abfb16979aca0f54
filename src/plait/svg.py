"""Charts as SVG text: points and lines over two axes, with a legend. The same figures make the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 440
LEFT, TOP, RIGHT, BOTTOM = 66, 62, 510, 382
#: Colours that colour-blind readers can tell apart (Okabe and Ito); shapes differ as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLE = "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:15px;font-weight:600}.n{fill:#666}"


@dataclass(frozen=True)
class Series:
    """Points of one name, joined in their order where ``joined``; a small text beside each, if given.

    Without ``marked`` it is a dashed grey line that belongs to the points of others.
    """

    name: str
    points: Sequence[tuple[float, float]]
    joined: bool = True
    texts: Sequence[str] = ()
    marked: bool = True


@dataclass(frozen=True)
class Axis:
    """A range of values with ticks.

    Attributes:
        label: what it shows, with its unit.
        ticks: ascending; the first and the last are the ends.
        log: whether equal factors have equal lengths.
    """

    label: str
    ticks: Sequence[float]
    log: bool = False

    def share(self, value: float) -> float:
        """0 at the first tick, 1 at the last."""
        low, high, value = (math.log(v) if self.log else v for v in (self.ticks[0], self.ticks[-1], value))
        return (value - low) / (high - low)


def axis(label: str, values: Sequence[float], log: bool = False) -> Axis:
    """An axis that has room for these values, at round numbers."""
    return Axis(label, log_ticks(min(values), max(values)) if log else ticks(min(values), max(values)), log)


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, from below the least to above the greatest."""
    width = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(width / about))
    step = next(step * power for step in (1, 2, 5, 10) if width / (step * power) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone when they span more than three decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1,) if math.log10(high / low) > 3 else (1, 2, 5)
    found = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    start = max(place for place, tick in enumerate(found) if tick <= low * 1.000001)
    stop = min(place for place, tick in enumerate(found) if tick >= high * 0.999999)
    return found[start : max(stop, start + 1) + 1]


def short(value: float) -> str:
    """A number for an axis: 0.5, 20, 10k, 1M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def chart(title: str, note: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """An SVG document.

    Args:
        title: what is shown.
        note: on what it was measured; one line under the title.
        x, y: the axes.
        series: lines and points, in the order of the legend.
    """
    height = max(HEIGHT, TOP + 22 * (len(series) + 1))  # the legend's lines
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(LEFT, 24, title, "start", "t"),
        text(LEFT, 44, note, "start", "n"),
        *grid(x, y),
    ]
    for number, one in enumerate(series):
        body += drawn(one, number, x, y)
        at = TOP + 10 + 22 * number
        body += [mark(number, RIGHT + 24, at) if one.marked else dashed([(RIGHT + 16, at), (RIGHT + 32, at)])]
        body += [text(RIGHT + 36, TOP + 14 + 22 * number, one.name, "start")]
    return "\n".join([*body, "</svg>"]) + "\n"


def empty(words: str) -> str:
    """An SVG document that says why there is no chart."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 40">{text(8, 24, words, "start")}</svg>\n'
    )


def place(value: float, ends: tuple[float, float], on: Axis) -> float:
    """Where a value is drawn, between the two ends of an axis."""
    return ends[0] + (ends[1] - ends[0]) * on.share(value)


def grid(x: Axis, y: Axis) -> list[str]:
    """The lines of an axis' ticks, their numbers, and what the axes show."""
    lines = []
    for tick in x.ticks:
        at = place(tick, (LEFT, RIGHT), x)
        lines += [line(at, TOP, at, BOTTOM), text(at, BOTTOM + 18, short(tick), "middle")]
    for tick in y.ticks:
        at = place(tick, (BOTTOM, TOP), y)
        lines += [line(LEFT, at, RIGHT, at), text(LEFT - 8, at + 4, short(tick), "end")]
    middle = (TOP + BOTTOM) / 2
    turned = f'transform="rotate(-90 18 {middle:.0f})"'
    return [
        *lines,
        text((LEFT + RIGHT) / 2, BOTTOM + 42, x.label, "middle"),
        text(18, middle, y.label, "middle", more=turned),
    ]


def drawn(one: Series, number: int, x: Axis, y: Axis) -> list[str]:
    """One series: its line, its points and their texts."""
    at = [(place(a, (LEFT, RIGHT), x), place(b, (BOTTOM, TOP), y)) for a, b in one.points]
    parts = []
    if not one.marked:
        return [dashed(at)]
    if one.joined and len(at) > 1:
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour(number)}" stroke-width="1.5"/>')
    parts += [mark(number, a, b) for a, b in at]
    parts += [
        text(a + 7, b - 6, label, "start", "n") for (a, b), label in zip(at, one.texts, strict=False) if label
    ]
    return parts


def dashed(points: Sequence[tuple[float, float]]) -> str:
    """A dashed grey line."""
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return f'<polyline points="{path}" fill="none" stroke="#888" stroke-dasharray="4 3"/>'


def colour(number: int) -> str:
    """The colour of a series."""
    return COLOURS[number % len(COLOURS)]


def mark(number: int, x: float, y: float) -> str:
    """A circle, square, triangle or diamond."""
    shape = number % 4
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour(number)}"/>'
    corners = (
        [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        [(0, -5), (5, 4), (-5, 4)],
        [(0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)],
    )[shape - 1]
    points = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in corners)
    return f'<polygon points="{points}" fill="{colour(number)}"/>'


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A thin grey line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def text(x: float, y: float, words: str, anchor: str, kind: str = "", more: str = "") -> str:
    """Words at a place; ``kind`` is a class of the style, ``more`` further attributes."""
    attributes = f' class="{kind}"' if kind else ""
    attributes += f" {more}" if more else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>{escape(words)}</text>'
