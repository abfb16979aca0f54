"""Draw the learning curve of the built-in model from its table.

    python scripts/builtin_model/curve.py docs/decisions/0031-learning-curve.csv

The table has the columns ``set``, ``pairs`` and ``ndcg@10``; the chart shows the gain over no training, in
points of nDCG@10, and is written beside it.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

from plait.svg import Series, axis, chart


def main() -> None:
    """One chart."""
    parser = argparse.ArgumentParser(description="Draw the learning curve.")
    parser.add_argument("table", type=Path)
    path = parser.parse_args().table
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            curves[row["set"]].append((float(row["pairs"]), 100 * float(row["ndcg@10"])))
    gains = {
        name: [(pairs, value - points[0][1]) for pairs, value in points] for name, points in curves.items()
    }
    values = [value for points in gains.values() for _, value in points]
    picture = chart(
        "What more pairs give",
        "nDCG@10 less that of the untrained model, in points; exact MaxSim",
        axis("training pairs", [pairs for points in gains.values() for pairs, _ in points]),
        axis("gain", values),
        [Series(name, points) for name, points in gains.items()],
    )
    path.with_suffix(".svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
