"""QUERY + SNAPSHOT -> the best k documents: runs the stages and merges the segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import ScaledCodec
from plait.errors import IndexCorrupt
from plait.search.batch import batches
from plait.search.masks import Mask, mask_of
from plait.search.params import SCAN_TOKENS, SearchParams, wider
from plait.search.pool import Docs, Pool, in_batches, scores_of, top, top_pools
from plait.search.residual import ResidualQuery
from plait.search.scaled import ScaledQuery, refine_all, rescore_all
from plait.store import Segment, Snapshot
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray

#: Two int8 scores that differ by less than this, times the query's norm, may be in the other order
#: in f32: twice the largest error seen (decision 0006).
INT8_SLACK = 0.016
#: Documents beyond twice the hits wanted that a first look passes on.
SPARE = 32
#: So few documents, as a narrow filter leaves, are scored in f32 without a look at their codes before.
FEW = 64
#: Documents per piece when a scan is spread over threads.
DOCS_PER_BLOCK = 16_384
#: Documents reconstructed at a time: their f32 vectors should stay in the cache.
REFINE_BLOCK = 64


def search(
    snapshot: Snapshot,
    query: FloatArray,
    k: int,
    params: SearchParams,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    threads: int | None = 1,
) -> list[tuple[int, float]]:
    """The best ``k`` documents of a snapshot.

    Args:
        snapshot: what to search.
        query: f32 ``[nq, dim]``, nq >= 1.
        k: at least 1.
        params: how far to look.
        allowed: pids, ascending, that may be found; None allows all.
        threads: for scans of many documents; the result does not depend on it.

    Returns:
        ``(pid, score)``, best first, ties by lower pid: exactly ``min(k, live documents allowed)``.
        Scores are f32 MaxSim on the vectors as stored.
    """
    return search_batch(snapshot, [query], k, params, allowed=allowed, threads=threads)[0]


def search_batch(
    snapshot: Snapshot,
    queries: Sequence[FloatArray],
    k: int,
    params: SearchParams,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    threads: int | None = 1,
) -> list[list[tuple[int, float]]]:
    """``[search(snapshot, query, k, params) for query in queries]``, the same bits.

    Where every document is scored, codes are decoded once for all queries, and scores of all documents are
    kept for each: see ``query_batches``.
    """
    masks = [mask_of(segment, allowed) for segment in snapshot.segments]
    runs = [_Search(snapshot, query, k, params, threads) for query in queries]
    try:
        if len(runs) > 1 and _scans(params, _coded(snapshot, masks)):
            _scan_together(runs, _coded(snapshot, masks))
        return [run.best(run.pools(masks)) for run in runs]
    except (ValueError, IndexError) as error:  # a kernel found an index out of its range
        raise IndexCorrupt(snapshot.folder / "segments", str(error)) from error


def query_batches(
    snapshot: Snapshot,
    nqueries: int,
    params: SearchParams,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> list[slice]:
    """Which of so many queries to give to ``search_batch`` together: single ones, unless they scan."""
    masks = [mask_of(segment, allowed) for segment in snapshot.segments]
    if not _scans(params, _coded(snapshot, masks)):
        return row_blocks(nqueries, 1)
    return batches(nqueries, snapshot.ndocs, threads)


def _scan_together(runs: list[_Search], coded: list[tuple[Segment, Mask]]) -> None:
    for segment, mask in coded:
        queries = [run.query_for(segment) for run in runs]
        scaled = [query for query in queries if isinstance(query, ScaledQuery)]
        if len(scaled) < len(queries):
            continue
        docs = _docs(segment, mask)
        for run, scores in zip(runs, rescore_all(scaled, segment, docs), strict=True):
            run.scanned[id(segment)] = Pool(segment, docs, scores)


def _scans(params: SearchParams, coded: list[tuple[Segment, Mask]]) -> bool:
    if params.scan is not None:
        return params.scan
    allowed = sum(_token_count(segment, mask) for segment, mask in coded)
    stored = sum(int(segment.offsets[-1]) for segment, _ in coded)
    # The fewer documents may be found, the more lists are visited for them, and the longer a scan is cheaper.
    return allowed <= SCAN_TOKENS * wider(allowed / max(1, stored))


def _coded(snapshot: Snapshot, masks: list[Mask]) -> list[tuple[Segment, Mask]]:
    pairs = zip(snapshot.segments, masks, strict=True)
    return [(segment, mask) for segment, mask in pairs if segment.codec is not None]


def scan(snapshot: Snapshot, query: FloatArray, k: int, threads: int | None = 1) -> list[tuple[int, float]]:
    """The best ``k`` by f32 MaxSim on the stored vectors of every document: no shortcut at all.

    What search recall is measured against. Slow: reconstructs the whole index.
    """
    run = _Search(snapshot, query, k, SearchParams(scan=True), threads)
    pools = []
    for segment in snapshot.segments:
        docs = _docs(segment, mask_of(segment, None))
        pools.append(run.in_blocks(segment, docs, partial(run.refine, segment)))
    return top(pools, k)


def scan_batch(snapshot: Snapshot, queries: Sequence[FloatArray], k: int) -> list[list[tuple[int, float]]]:
    """``[scan(snapshot, query, k) for query in queries]``, the same bits.

    Documents are reconstructed once for all queries; scores of all documents are kept for each.
    """
    runs = [_Search(snapshot, query, k, SearchParams(scan=True), 1) for query in queries]
    pools: list[list[Pool]] = [[] for _ in runs]
    for segment in snapshot.segments:
        docs = _docs(segment, mask_of(segment, None))
        asked = [None if segment.codec is None else run.query_for(segment) for run in runs]
        scaled = [query for query in asked if isinstance(query, ScaledQuery)]
        if len(scaled) == len(runs):
            scores = refine_all(scaled, segment, docs)
        else:
            scores = [run.in_blocks(segment, docs, partial(run.refine, segment)).scores for run in runs]
        for own, values in zip(pools, scores, strict=True):
            own.append(Pool(segment, docs, values))
    return [top(own, k) for own in pools]


class _Search:
    """One query on one snapshot."""

    def __init__(
        self, snapshot: Snapshot, query: FloatArray, k: int, params: SearchParams, threads: int | None
    ) -> None:
        self.snapshot = snapshot
        self.query = query
        self.k = k
        self.params = params
        self.threads = threads
        self._queries: dict[int, ResidualQuery | ScaledQuery] = {}
        #: By the id of a segment: all its documents, rescored together with other queries.
        self.scanned: dict[int, Pool] = {}

    def pools(self, masks: list[Mask]) -> list[Pool]:
        """Rescored documents of every segment; at least k in all, if so many are allowed."""
        coded = _coded(self.snapshot, masks)
        pairs = zip(self.snapshot.segments, masks, strict=True)
        exact = [_unscored(segment, mask) for segment, mask in pairs if segment.codec is None]
        allowed = sum(_count(segment, mask) for segment, mask in coded)
        if allowed <= FEW:
            return [*exact, *(_unscored(segment, mask) for segment, mask in coded)]
        rescored = [] if _scans(self.params, coded) else self._stages(coded)
        found = sum(len(pool.docs) for pool in rescored)
        if found < min(self.k, allowed) or not rescored:
            rescored = [
                self.scanned.get(id(segment)) or self._scan(segment, _docs(segment, mask))
                for segment, mask in coded
            ]
        return [*exact, *self._contenders(rescored)]

    def _contenders(self, pools: list[Pool]) -> list[Pool]:
        """The documents that may be among the best k in f32."""
        scores = scores_of(pools)
        if len(scores) <= self.k:
            return pools
        last = np.partition(scores, len(scores) - self.k)[len(scores) - self.k]
        slack = INT8_SLACK * float(np.linalg.norm(self.query))
        near = int(np.count_nonzero(scores >= last - slack))
        return top_pools(pools, min(near, 2 * self.k + 64))

    def best(self, pools: list[Pool]) -> list[tuple[int, float]]:
        """Score what is left in f32 and take the best k."""
        refined = [
            self.in_blocks(pool.segment, pool.docs, partial(self.refine, pool.segment), REFINE_BLOCK)
            for pool in pools
        ]
        return top(refined, self.k)

    def _stages(self, coded: list[tuple[Segment, Mask]]) -> list[Pool]:
        """Candidates, rescored: so many of each codec, because centroid scores of different codecs can't be
        compared (finer centroids score higher), and rescored ones can.
        """
        codecs = {id(segment.codec): segment.codec for segment, _ in coded}
        return [
            pool
            for codec in codecs.values()
            for pool in self._stages_of([pair for pair in coded if pair[0].codec is codec])
        ]

    def _stages_of(self, coded: list[tuple[Segment, Mask]]) -> list[Pool]:
        query = self.query_for(coded[0][0])
        params = query.adapted([segment for segment, _ in coded], self.params)
        found = query.candidates(coded, params, self.k)
        looked = in_batches(found, query.look, params.ndocs, self.k)
        if not query.looks_twice:
            return looked
        return [self._scan(pool.segment, pool.docs) for pool in top_pools(looked, 2 * self.k + SPARE)]

    def _scan(self, segment: Segment, docs: Docs) -> Pool:
        return self.in_blocks(segment, docs, partial(self.query_for(segment).rescore, segment))

    def refine(self, segment: Segment, docs: Docs) -> FloatArray:
        """f32 MaxSim of documents, on the original vectors where the segment has them (then it is exact), on
        the reconstructed ones elsewhere.
        """
        if segment.codec is None:
            return kernels.maxsim(self.query, segment.arrays["vectors"], segment.offsets, docs)
        return self.query_for(segment).refine(segment, docs)

    def in_blocks(
        self, segment: Segment, docs: Docs, score: Callable[[Docs], FloatArray], size: int = DOCS_PER_BLOCK
    ) -> Pool:
        """Score documents, in pieces on several threads when there are many."""
        blocks = row_blocks(len(docs), size)
        if self.threads == 1 or len(docs) <= DOCS_PER_BLOCK:
            parts = [score(docs[rows]) for rows in blocks]
        else:
            parts = map_threads(lambda rows: score(docs[rows]), blocks, self.threads)
        return Pool(segment, docs, np.concatenate([np.empty(0, dtype=np.float32), *parts]))

    def query_for(self, segment: Segment) -> ResidualQuery | ScaledQuery:
        codec = segment.codec
        assert codec is not None
        if id(codec) not in self._queries:
            query = (
                ScaledQuery(self.query, codec, self.params.merge)
                if isinstance(codec, ScaledCodec)
                else ResidualQuery(self.query, codec)
            )
            query.prepare()  # before threads share it
            self._queries[id(codec)] = query
        return self._queries[id(codec)]


def _docs(segment: Segment, mask: Mask) -> Docs:
    if mask is None:
        return np.arange(segment.ndocs, dtype=np.uint32)
    return np.flatnonzero(mask).astype(np.uint32)


def _unscored(segment: Segment, mask: Mask) -> Pool:
    docs = _docs(segment, mask)
    return Pool(segment, docs, np.zeros(len(docs), dtype=np.float32))


def _count(segment: Segment, mask: Mask) -> int:
    return segment.ndocs if mask is None else int(np.count_nonzero(mask))


def _token_count(segment: Segment, mask: Mask) -> int:
    if mask is None:
        return int(segment.offsets[-1])
    return int(segment.arrays["doclens"][mask != 0].sum(dtype=np.int64))
