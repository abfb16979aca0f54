"""QUERY VECTOR + SNAPSHOT -> the best k documents by their single vectors: a scan over all of them.

Scores are cosines of the query, in 15 bits per dimension, and the vectors as stored, in 4: products of whole
numbers, so that every instruction set and any number of threads gives the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.search.masks import mask_of
from plait.store import Segment, Snapshot
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray

#: Documents scanned by one thread at a time.
DOCS_PER_SCAN = 1 << 16

Found = tuple[npt.NDArray[np.int64], FloatArray]


def search_bi_encoder(
    snapshot: Snapshot,
    vector: FloatArray,
    k: int,
    *,
    allowed: npt.NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> list[tuple[int, float]]:
    """The best ``k`` documents of a snapshot by the cosine of a query's vector and theirs.

    Args:
        snapshot: what to search; its segments have the part "bi_encoder".
        vector: f32 ``[d]``, finite; its length does not matter.
        k: at least 1.
        allowed: pids, ascending, that may be found; None allows all.
        threads: None for all cores.

    Returns:
        ``(pid, score)``, best first, ties by lower pid: exactly ``min(k, documents allowed)``.
        Scores are f32.
    """
    pieces = [
        (segment, mask_of(segment, allowed), docs)
        for segment in snapshot.segments
        for docs in row_blocks(segment.ndocs, DOCS_PER_SCAN)
    ]
    if not pieces:
        return []
    width = 2 * pieces[0][0].arrays["bi_encoder_codes"].shape[1]
    length = float(np.sqrt(np.square(vector, dtype=np.float64).sum()))
    query, scale = kernels.quantise_query(vector, width)
    scale = scale / length if length > 0 else 0.0

    def scan(piece: tuple[Segment, npt.NDArray[np.uint8] | None, slice]) -> Found:
        segment, mask, docs = piece
        codes, scales = (segment.arrays[f"bi_encoder_{name}"][docs] for name in ("codes", "scales"))
        some = None if mask is None else mask[docs]
        rows, scores = kernels.top_pooled(query, scale, codes, scales, some, k)
        return segment.pids[docs.start + rows.astype(np.int64)], scores

    found = map_threads(scan, pieces, threads)
    pids = np.concatenate([pids for pids, _ in found])
    scores = np.concatenate([scores for _, scores in found])
    order = np.lexsort((pids, -scores))[:k]
    return list(zip(pids[order].tolist(), scores[order].tolist(), strict=True))
