"""Documents with scores on their way through the stages, and choosing the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait.errors import IndexCorrupt
from plait.store import Segment
from plait.types import FloatArray

Docs = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class Pool:
    """Documents of one segment with scores f32, both ``[m]``."""

    segment: Segment
    docs: Docs
    scores: FloatArray

    def keep(self, places: npt.NDArray[np.int64]) -> Pool:
        """Only the documents at these places."""
        return Pool(self.segment, self.docs[places], self.scores[places])


def scores_of(pools: list[Pool]) -> FloatArray:
    """All scores, one pool after the other.

    Raises:
        IndexCorrupt: a score is not finite; stored numbers are broken, since the query is finite.
    """
    for pool in pools:
        if not np.isfinite(pool.scores).all():
            doc = int(pool.docs[int(np.argmin(np.isfinite(pool.scores)))])
            raise IndexCorrupt(pool.segment.folder, f"document {doc} of the segment has no finite score")
    return np.concatenate([np.empty(0, dtype=np.float32), *(pool.scores for pool in pools)])


def top_pools(pools: list[Pool], count: int) -> list[Pool]:
    """The best ``count`` documents over all pools, each pool in ascending order of documents."""
    scores = scores_of(pools)
    if len(scores) <= count:
        return pools
    chosen = best_places(scores, count)
    if len(pools) == 1:
        return [pools[0].keep(chosen)]
    ends = np.cumsum([len(pool.scores) for pool in pools])
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    starts = ends - [len(pool.scores) for pool in pools]
    return [
        pool.keep(part - start) for pool, part, start in zip(pools, parts, starts, strict=True) if len(part)
    ]


def best_places(scores: FloatArray, count: int) -> npt.NDArray[np.int64]:
    """Where the best ``count`` scores are, ascending; of equal ones the first."""
    last = np.partition(scores, len(scores) - count)[len(scores) - count]
    best = scores > last
    equal = np.flatnonzero(scores == last)
    best[equal[: count - np.count_nonzero(best)]] = True
    return np.flatnonzero(best)


def top(pools: list[Pool], k: int) -> list[tuple[int, float]]:
    """(pid, score) of the best k, ties by lower pid."""
    if not pools:
        return []
    pids = np.concatenate([pool.segment.pids[pool.docs] for pool in pools])
    scores = scores_of(pools)
    order = np.lexsort((pids, -scores))[:k]
    return list(zip(pids[order].tolist(), scores[order].tolist(), strict=True))
