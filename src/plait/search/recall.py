"""How much of a full scan's result the search finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plait.search.params import SearchParams
from plait.search.searcher import query_batches, scan_batch, search_batch
from plait.store import Snapshot
from plait.threads import map_threads
from plait.types import FloatArray


@dataclass(frozen=True, slots=True)
class RecallReport:
    """How much of a full scan's result the search finds.

    Attributes:
        search_recall: mean overlap of the best k with those of a scan over the same stored
            vectors, 1.0 if always the same.
        k: hits compared.
        nqueries: queries asked.
        queries: where they came from.
    """

    search_recall: float
    k: int
    nqueries: int
    queries: str


def measure_recall(
    snapshot: Snapshot,
    queries: Sequence[FloatArray],
    k: int,
    params: SearchParams,
    source: str,
    threads: int | None = None,
) -> RecallReport:
    """Ask every query twice, as params say and by a full scan.

    Args:
        snapshot: the index.
        queries: f32 ``[nq, dim]`` each.
        k: hits compared.
        params: those to be measured.
        source: where the queries came from, for the report.
        threads: None for all cores.
    """

    def overlaps_of(rows: slice) -> list[float]:
        full = scan_batch(snapshot, queries[rows], k)
        found = search_batch(snapshot, queries[rows], k, params)
        return [overlap(*pair) for pair in zip(full, found, strict=True)]

    together = query_batches(snapshot, len(queries), SearchParams(scan=True), threads=threads)
    overlaps = [share for some in map_threads(overlaps_of, together, threads) for share in some]
    mean = float(np.mean(overlaps)) if overlaps else 1.0
    return RecallReport(mean, k, len(overlaps), source)


def overlap(full: list[tuple[int, float]], found: list[tuple[int, float]]) -> float:
    """The share of the ``(pid, score)`` of one list whose pid is in the other."""
    wanted = {pid for pid, _ in full}
    return len(wanted & {pid for pid, _ in found}) / max(1, len(wanted))
