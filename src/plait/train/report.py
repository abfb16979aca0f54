"""What came out of a recipe: figures before and after, whether they could be chance, and what was done."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plait.evaluate import Comparison, Qrels, compare_runs, evaluate
from plait.svg import Series, axis, chart
from plait.train.recipe import HELD_OUT, Recipe
from plait.train.steps import Done


@dataclass(frozen=True, slots=True)
class Report:
    """What came out.

    Attributes:
        recipe: what was run.
        qrels: the judgements of each test set.
        runs: of each round, from 0 (what was to be bettered), and each test set: what was found.
        steps: what each step said.
        start: what round 0 is called.
    """

    recipe: Recipe
    qrels: Mapping[str, Qrels]
    runs: Sequence[Mapping[str, Any]]
    steps: Mapping[str, Done]
    start: str

    def values(self, name: str) -> list[dict[str, float]]:
        """The metrics of each round on a test set."""
        return [evaluate(self.qrels[name], run[name], self.recipe.metrics) for run in self.runs]

    def comparisons(self, name: str) -> list[Comparison]:
        """The last round against what was to be bettered, metric by metric."""
        return compare_runs(
            self.qrels[name], self.runs[-1][name], {self.start: self.runs[0][name]}, self.recipe.metrics
        )

    @property
    def gain(self) -> Comparison:
        """The first metric on the queries held out."""
        return self.comparisons(HELD_OUT)[0]


def write_report(folder: Path, report: Report) -> None:
    """Write ``report.md``, ``report.json``, ``rounds.csv`` and ``rounds.svg``."""
    _write(folder / "report.md", "\n".join(_page(report)) + "\n")
    _write(folder / "report.json", json.dumps(_values(report), indent=1) + "\n")
    _write(folder / "rounds.csv", _table(report))
    _write(folder / "rounds.svg", _chart(report))


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _values(report: Report) -> dict[str, Any]:
    return {
        "name": report.recipe.name,
        "start": report.start,
        "rounds": {name: report.values(name) for name in report.qrels},
        "comparisons": {name: [asdict(one) for one in report.comparisons(name)] for name in report.qrels},
        "steps": {name: {"seconds": done.seconds, **done.result} for name, done in report.steps.items()},
    }


def _table(report: Report) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["set", "round", *report.recipe.metrics])
    for name in report.qrels:
        for number, values in enumerate(report.values(name)):
            writer.writerow([name, number, *(f"{value:.6f}" for value in values.values())])
    return text.getvalue()


def _chart(report: Report) -> str:
    metric = report.recipe.metrics[0]
    series = [
        Series(name, [(float(number), values[metric]) for number, values in enumerate(report.values(name))])
        for name in report.qrels
    ]
    heights = [height for one in series for _, height in one.points]
    rounds = [float(number) for number in range(len(report.runs))]
    note = f"round 0 is {report.start}"
    return chart(
        f"{report.recipe.name}: {metric} by round", note, axis("round", rounds), axis(metric, heights), series
    )


def _page(report: Report) -> list[str]:
    lines = [f"# {report.recipe.name}", ""]
    for name, qrels in report.qrels.items():
        lines += [f"## {name.capitalize()}: {len(qrels):,} queries", "", *_figures(report, name), ""]
        lines += [*_differences(report, name), ""]
    lines += [
        "Queries held out were made or chosen like those of the training, of documents that were no "
        "positives in it. How much better other queries are answered is for a test set of real ones to say.",
        "",
        "## What was done",
        "",
        *_steps(report),
    ]
    return lines


def _figures(report: Report, name: str) -> list[str]:
    metrics = list(report.recipe.metrics)
    rows = [f"| | {' | '.join(metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    for number, values in enumerate(report.values(name)):
        who = report.start if number == 0 else f"round {number}"
        rows.append(f"| {who} | {' | '.join(f'{values[metric]:.4f}' for metric in metrics)} |")
    return rows


def _differences(report: Report, name: str) -> list[str]:
    return [
        f"- {one.metric}: {one.difference:+.4f} (95% interval {one.low:+.4f} to {one.high:+.4f}, "
        f"p = {one.p:.4f}); better for {one.better}, worse for {one.worse}, the same for {one.equal} queries"
        for one in report.comparisons(name)
    ]


def _steps(report: Report) -> list[str]:
    lines = ["| step | seconds | |", "|---|---|---|"]
    for name, done in report.steps.items():
        told = {key: value for key, value in done.result.items() if value not in (None, {}, [])}
        figures = ", ".join(f"{key} {_short(value)}" for key, value in told.items())
        lines.append(f"| {name} | {done.seconds:,.1f} | {figures} |")
    return lines


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        if "positive_first" in value:
            return f"(positive first in {value['positive_first']:.1%})"
        return "(" + ", ".join(f"{key} {_short(one)}" for key, one in value.items()) + ")"
    if isinstance(value, list):
        return "; ".join(f"{one['name']} {_short(one)}" for one in value)
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
