"""Queries that score every document share the work: documents are decoded once for several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from plait.search.pool import Docs
from plait.threads import row_blocks, thread_count
from plait.types import FloatArray, offsets_of

#: Queries that are scored together at most, and scores that are kept for them at most.
TOGETHER = 8
MOST_SCORES = 1 << 25
#: Query tokens in one call of a kernel: with more, the scores of their centroids no longer fit a cache
#: (decision 0021).
TOKENS_TOGETHER = 128
#: Documents in one call of a kernel.
DOCS_TOGETHER = 16_384

#: Takes the tokens f32 ``[nq, width]`` of several queries, i64 ``[n + 1]`` where each begins, and documents
#: u32 ``[m]``; gives f32 ``[n, m]``.
Kernel = Callable[[FloatArray, npt.NDArray[np.int64], Docs], FloatArray]


def batches(nqueries: int, ndocs: int, threads: int | None) -> list[slice]:
    """Which queries to score together, so that all threads have work and the scores fit into memory."""
    share = -(-nqueries // thread_count(threads))
    return row_blocks(nqueries, max(1, min(TOGETHER, share, MOST_SCORES // max(1, ndocs))))


def score_together(kernel: Kernel, queries: Sequence[FloatArray], docs: Docs) -> list[FloatArray]:
    """The scores f32 ``[m]`` of all documents for each query, the same bits as for each alone.

    Args:
        kernel: what scores.
        queries: f32 ``[nq, width]`` each.
        docs: u32 ``[m]``.
    """
    scores: list[FloatArray] = []
    for some in _by_tokens(queries):
        offsets = offsets_of(np.array([len(query) for query in some]))
        tokens = np.concatenate(some)
        parts = [kernel(tokens, offsets, docs[rows]) for rows in row_blocks(len(docs), DOCS_TOGETHER)]
        scores += list(np.concatenate([np.empty((len(some), 0), dtype=np.float32), *parts], axis=1))
    return scores


def _by_tokens(queries: Sequence[FloatArray]) -> list[list[FloatArray]]:
    """The queries in order, cut where there would be more than TOKENS_TOGETHER tokens."""
    cut: list[list[FloatArray]] = []
    room = 0
    for query in queries:
        if len(query) > room:
            cut.append([])
            room = TOKENS_TOGETHER
        cut[-1].append(query)
        room -= len(query)
    return cut
