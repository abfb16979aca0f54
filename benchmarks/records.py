"""The result lines in benchmarks/results/, as tables and charts read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

RESULTS = Path(__file__).resolve().parent / "results"
Record: TypeAlias = dict[str, Any]


def records(name: str, benchmark: str) -> list[Record]:
    """The lines of one benchmark in results/NAME.jsonl; none if there is no such file."""
    path = RESULTS / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [record for record in map(json.loads, lines) if record["benchmark"] == benchmark]


def machines(found: Iterable[Record]) -> str:
    """The processors that they were measured on; figures of different ones can't be compared."""
    return " and ".join(dict.fromkeys(record["cpu_model"] for record in found))


def engine(record: Record) -> str:
    """Name and version."""
    return f"{record['engine']} {record['version']}"


def settings(record: Record) -> str:
    """What an index was made with: "4 bits", "level compact", or "default"."""
    made = record.get("index") or {"nbits": record.get("params", {}).get("nbits")}
    words = [
        f"{value} bits" if name == "nbits" else f"{name} {value}"
        for name, value in made.items()
        if value is not None
    ]
    return ", ".join(words) or "default"


def frontier(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of (recall, time) those for which no other has more recall in less time, in the order of recall."""
    kept: list[tuple[float, float]] = []
    for recall, time in sorted(points, key=lambda point: (point[1], -point[0])):
        if not kept or recall > kept[-1][0]:
            kept.append((recall, time))
    return kept


def mean_of(group: list[Record], name: str) -> float:
    """The mean of a figure over the records that have it; at least one does."""
    values = [record[name] for record in group if name in record]
    return float(sum(values) / len(values))
