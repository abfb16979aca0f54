"""Documents with scores on their way through the stages, and choosing the best of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait.errors import IndexCorrupt
from plait.store import Segment
from plait.types import FloatArray

Docs = npt.NDArray[np.uint32]

#: Looking further ends when fewer than one in so many of the best k are new.
CHANGES = 50


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
    if len(pools) == 1:
        return pools[0].scores
    return np.concatenate([np.empty(0, dtype=np.float32), *(pool.scores for pool in pools)])


def top_pools(pools: list[Pool], count: int) -> list[Pool]:
    """The best ``count`` documents over all pools, each pool in ascending order of documents."""
    scores = scores_of(pools)
    if len(scores) <= count:
        return pools
    return [pool.keep(places) for pool, places, _ in _by_pool(pools, best_places(scores, count))]


def _by_pool(
    pools: list[Pool], chosen: npt.NDArray[np.int64]
) -> Iterator[tuple[Pool, npt.NDArray[np.int64], slice]]:
    """For each pool that has some of the chosen places: the pool, places within it, and where they stand.

    Args:
        pools: counted one after the other.
        chosen: i64, ascending.
    """
    end = 0
    for pool in pools:
        start, end = end, end + len(pool.docs)
        mine = slice(*np.searchsorted(chosen, [start, end]).tolist())
        if mine.start < mine.stop:
            yield pool, chosen[mine] - start, mine


def in_batches(
    pools: list[Pool], score: Callable[[Segment, Docs], FloatArray], size: int, k: int
) -> list[Pool]:
    """Score candidates a batch at a time, best first, until a batch hardly changes the best ``k``.

    How far down the list of candidates the best documents are found differs from query to query; for the
    same recall half as many documents are scored as with a fixed number (decision 0012).

    Args:
        pools: candidates with what they are ordered by.
        score: what they are scored by.
        size: documents per batch; the first may have half as many.
        k: hits wanted.

    Returns:
        The documents scored, each pool in ascending order of documents.
    """
    order = np.argsort(-scores_of(pools), kind="stable")
    scores = np.full(len(order), -np.inf, dtype=np.float32)
    done, stop, floor = 0, max(2 * k, size // 2), -np.inf
    while done < len(order):
        batch = np.sort(order[done:stop])
        for pool, places, mine in _by_pool(pools, batch):
            scores[batch[mine]] = score(pool.segment, pool.docs[places])
        done, stop = min(stop, len(order)), stop + size
        if np.count_nonzero(scores[batch] > floor) < max(1, k // CHANGES):
            break
        if done >= k:
            floor = np.partition(scores, len(scores) - k)[len(scores) - k]
    scored = np.sort(order[:done])
    return [
        Pool(pool.segment, pool.docs[places], scores[scored[mine]])
        for pool, places, mine in _by_pool(pools, scored)
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
