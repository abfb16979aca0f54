"""The charts of a comparison: the first metric against time, and against size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from plait.svg import Series, axis, chart

if TYPE_CHECKING:
    from plait.comparison.report import MethodResult, Report

#: Characters of a method's name that fit into the legend.
_LONGEST = 32


def latency_chart(report: Report) -> str:
    """The accuracy-latency frontier: median wall time of a query, encoding included."""
    return _drawn(report, "latency", "ms per query (median, one thread)", lambda method: method.latency.p50)


def size_chart(report: Report) -> str:
    """The same against the index's size."""
    return _drawn(report, "size", "index bytes per document", lambda method: method.bytes_per_document)


def _drawn(report: Report, what: str, label: str, cost: Callable[[MethodResult], float]) -> str:
    metric = report.metrics[0]
    points = [(max(cost(method), 1e-3), method.values[metric]) for method in report.methods]
    series = [
        Series(_short(f"{number} {method.name}"), [point], texts=[str(number)])
        for number, (method, point) in enumerate(zip(report.methods, points, strict=True), start=1)
    ]
    best = frontier(points)
    if len(best) > 1:
        series.append(Series("none is cheaper and better", best, marked=False))
    made_up = "KNOWN ITEMS, no judgements; " if report.known_items else ""
    note = f"{made_up}{report.ndocs:,} documents, {len(report.queries):,} queries; {report.cpu}"
    x = axis(label, [point[0] for point in points], log=True)
    y = axis(metric, [point[1] for point in points])
    return chart(f"{report.name}: {metric} against {what}", note, x, y, series)


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (cost, value) those for which no other costs less and is worth more, by cost."""
    kept: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or value > kept[-1][1]:
            kept.append((cost, value))
    return kept


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
