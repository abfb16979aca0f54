"""What a training run writes down: a row per look at it, as CSV, and two curves as SVG."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from plait.svg import Series, axis, chart

LOG = "log.csv"
COLUMNS = ("step", "epoch", "learning_rate", "loss", "contrastive", "distillation", "bi_encoder", "ndcg@10")
Row = dict[str, float]


def write_log(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``log.csv``, ``loss.svg`` and ``ndcg.svg``; each appears when it is complete."""
    text = io.StringIO()
    used = [name for name in COLUMNS if any(name in row for row in rows)]
    writer = csv.DictWriter(text, used, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
    _replace(folder / LOG, text.getvalue())
    for name, column, title in (("loss", "loss", "Loss"), ("ndcg", "ndcg@10", "Held-out nDCG@10")):
        points = [(row["step"], row[column]) for row in rows if column in row]
        if points:
            steps = [step for step, _ in points]
            values = [value for _, value in points]
            drawing = chart(
                title,
                f"{len(points)} points",
                axis("step", [0.0, *steps]),
                axis(title, values),
                [Series(title, points)],
            )
            _replace(folder / f"{name}.svg", drawing)


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
