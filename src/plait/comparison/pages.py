"""A comparison as text: the table for a terminal, the page in Markdown, the table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from plait.comparison.known_items import LIMITS

if TYPE_CHECKING:
    from plait.comparison.report import MethodResult, Report

#: Differences with a smaller corrected p are marked.
SIGNIFICANT = 0.05
_MEANING = """\
- p50 ms, p95 ms: wall time of a query, from its text to the best {k}, median and 95th percentile, asked one
  at a time on one thread after a warm-up; "encoded": without encoding the query.
- QPS: queries per second with {threads} threads asking at the same time.
- bytes/doc: what the method reads of the index on the disk, without the documents' texts, which take
  {texts:,.0f}.
- build s: from texts to what the method searches. Vectors are encoded once for all methods, and every method
  that needs them is charged for it; those that need ColBERT's codes are charged for making the whole index.
  Loading models is not counted."""


def summary(report: Report) -> str:
    """What matters: the warning if the queries are made up, the table, and the frontier."""
    parts = [*_warning(report), setting(report), table(head(report), rows(report)), legend(report)]
    return "\n\n".join(parts) + "\n"


def page(report: Report, charts: Sequence[tuple[str, str]] = ()) -> str:
    """The whole report in Markdown.

    Args:
        report: what is told.
        charts: titles and paths of charts to show.
    """
    quoted = [f"> **Made-up queries.** {text}" for text in _warning(report)]
    meaning = _MEANING.format(k=report.k, threads=report.threads, texts=report.texts_per_document)
    parts = [
        f"# Retrieval methods compared on {report.name}",
        *quoted,
        setting(report),
        table(head(report), rows(report)),
        legend(report),
        *(f"![{title}]({path})" for title, path in charts),
        "## Is it chance?",
        _tests(report),
        "## Where the time goes",
        _times(report),
        "## What the columns mean",
        meaning,
    ]
    return "\n\n".join(parts) + "\n"


def setting(report: Report) -> str:
    """On what, with what, and what else there is to know."""
    cross = f", cross-encoder {report.cross_encoder}" if report.cross_encoder else ""
    asked = "known-item queries" if report.known_items else "judged queries"
    first = (
        f"{report.name}: {report.ndocs:,} documents, {len(report.queries):,} {asked}, the best {report.k}; "
        f"encoder {report.encoder}{cross}; {report.cpu}."
    )
    return "\n".join([first, *report.notes])


def head(report: Report) -> list[str]:
    """Titles of the columns of the main table."""
    times = ["p50 ms", "p95 ms", "p50 encoded", "p95 encoded", "QPS"]
    return ["method", *report.metrics, *times, "bytes/doc", "build s"]


def rows(report: Report) -> list[list[str]]:
    """The main table: a row for each method, those on the frontier with a star."""
    return [_row(report, method) for method in report.methods]


def _row(report: Report, method: MethodResult) -> list[str]:
    star = " *" if method.name in report.frontier else ""
    latency, rate, built = method.latency, method.queries_per_second, method.build_seconds
    wall = (latency.p50, latency.p95, latency.p50_encoded, latency.p95_encoded)
    return [
        method.name + star,
        *(f"{value:.4f}{_mark(report, method.name, metric)}" for metric, value in method.values.items()),
        *map(milliseconds, wall),
        f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}",
        f"{method.bytes_per_document:,.0f}",
        "?" if built is None else f"{built:,.1f}",
    ]


def _mark(report: Report, name: str, metric: str) -> str:
    for one in report.comparisons.get(name, ()):
        if one.metric == metric and one.p_holm < SIGNIFICANT:
            return " ↑" if one.difference > 0 else " ↓"
    return ""


def legend(report: Report) -> str:
    """What the marks in the main table mean."""
    arrows = (
        f"↑ ↓: better, worse than {report.baseline}, p < {SIGNIFICANT} corrected for the number of methods. "
        if report.comparisons
        else ""
    )
    best = ", ".join(report.frontier)
    return f"{arrows}*: no method is faster and at least as good by {report.metrics[0]}: {best}."


def _warning(report: Report) -> list[str]:
    return [f"{report.known_items} {LIMITS}"] if report.known_items else []


def _tests(report: Report) -> str:
    lines = [
        [
            name,
            one.metric,
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f}",
            f"{one.p:.4f}",
            f"{one.p_holm:.4f}",
            *(str(count) for count in (one.better, one.worse, one.equal)),
        ]
        for name, comparisons in report.comparisons.items()
        for one in comparisons
    ]
    if not lines:
        return "There is one method only."
    titles = ["method", "metric", "difference", "95 % interval", "p", "p (Holm)", "better", "worse", "equal"]
    about = (
        f"Differences from {report.baseline} over the same {len(report.queries):,} queries: the interval by "
        f"a paired bootstrap, p by a paired randomisation test, corrected for their number (Holm)."
    )
    return f"{about}\n\n{table(titles, lines)}"


def _times(report: Report) -> str:
    lines = []
    for method in report.methods:
        latency = method.latency
        cpu = (latency.cpu_p50, latency.cpu_p95, latency.cpu_p50_encoded, latency.cpu_p95_encoded)
        stages = ", ".join(f"{name} {milliseconds(value)}" for name, value in method.stages.items())
        lines.append([method.name, *map(milliseconds, cpu), f"`{method.pipeline}`", stages])
    titles = ["method", "CPU p50 ms", "p95", "CPU p50 encoded", "p95", "pipeline", "median ms of stages"]
    return table(titles, lines)


def as_csv(report: Report) -> str:
    """One row for each method, with all figures."""
    records = [_record(report, method) for method in report.methods]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def _record(report: Report, method: MethodResult) -> dict[str, Any]:
    tests: dict[str, Any] = {}
    found = {one.metric: one for one in report.comparisons.get(method.name, ())}
    for metric in report.metrics:
        for name in ("difference", "low", "high", "p", "p_holm"):
            tests[f"{metric} {name}"] = getattr(found[metric], name) if metric in found else ""
    return {
        "collection": report.name,
        "known_items": report.known_items or "",
        "method": method.name,
        "pipeline": method.pipeline,
        **method.values,
        **{f"{name}_ms": value for name, value in asdict(method.latency).items()},
        "queries_per_second": method.queries_per_second,
        "bytes_per_document": method.bytes_per_document,
        "build_seconds": "" if method.build_seconds is None else method.build_seconds,
        "build_cpu_seconds": "" if method.build_cpu_seconds is None else method.build_cpu_seconds,
        "frontier": method.name in report.frontier,
        "baseline": report.baseline,
        **tests,
    }


def milliseconds(value: float) -> str:
    """Three digits, as far as they are there."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, aligned for readers of the text."""
    cells = [list(titles), *([cell.replace("|", "\\|") for cell in line] for line in lines)]
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*cells, strict=True)]
    shown = []
    for line in cells:
        first, *others = zip(line, widths, strict=True)
        shown.append([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])
    shown.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(f"| {' | '.join(line)} |" for line in shown)
