"""Exact f32 MaxSim of every query with every document: the truth that recall is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from vectors import VectorSet

from plait import kernels
from plait.threads import map_threads

DEPTH = 1000
#: Few enough for a processor's cache: every query meets a block before the next one is read.
DOCS_PER_BLOCK = 32

Array = npt.NDArray[Any]


def best(vectors: Array, offsets: Array, queries: Sequence[Array], k: int = DEPTH) -> Array:
    """i64 ``[nqueries, k]``: the best documents of each query, best first, ties by number.

    Args:
        vectors: f16 or f32 ``[ntokens, dim]``; read in blocks, so it may be memory-mapped.
        offsets: i64 ``[ndocs + 1]``.
        queries: f32 ``[nq, dim]`` each.
        k: documents per query.
    """

    def score(start: int) -> Array:
        stop = min(start + DOCS_PER_BLOCK, ndocs)
        rows = np.asarray(vectors[offsets[start] : offsets[stop]], dtype=np.float32)
        local, docs = offsets[start : stop + 1] - offsets[start], np.arange(stop - start, dtype=np.uint32)
        return np.stack([kernels.maxsim(query, rows, local, docs) for query in queries])

    ndocs = len(offsets) - 1
    scores = np.concatenate(map_threads(score, range(0, ndocs, DOCS_PER_BLOCK)), axis=1)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def exact(source: VectorSet, kind: str) -> Array:
    """The best documents of the set's queries on the vectors as they are, kept on disk."""
    path = source.exact_file(kind)
    if not path.exists():
        np.save(path, best(source.embeddings, source.offsets, source.queries(kind)))
    return np.load(path)
