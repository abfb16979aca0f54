"""BM25's kernels in plain NumPy: the specification that native/bm25.h is tested against.

The score of a document is the sum over the query's terms of ``weight * (tf / (norm + tf))`` with
``norm = k1 * ((1 - b) + b * (doclen / average))``, in f64, term by term, rounded to f32 at the end. That is
BM25 as Lucene computes it since version 8 (without the constant factor k1 + 1); weights are the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
#: Postings per block, as in store/postings.py.
BLOCK = 128


def find_terms(blob: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], terms: Sequence[bytes]) -> list[int]:
    """The places of terms in a dictionary, by binary search; -1 where a term is not in it.

    Args:
        blob: u8, the terms one after the other, ascending.
        ends: i64 ``[nterms]``, where each ends.
        terms: those looked for.

    Raises:
        ValueError: an end is not in the dictionary.
    """
    return [_find(blob, ends, term) for term in terms]


def _find(blob: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64], term: bytes) -> int:
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        begin, end = (int(ends[middle - 1]) if middle else 0), int(ends[middle])
        if not 0 <= begin <= end <= len(blob):
            raise ValueError(f"bm25_term_ends[{middle}] is {end}, of a dictionary of {len(blob)} bytes")
        found = blob[begin:end].tobytes()
        if found == term:
            return middle
        low, high = (middle + 1, high) if found < term else (low, middle)
    return -1


def count_alive(docs: Array, begin: int, end: int, alive: npt.NDArray[np.uint8]) -> int:
    """How many documents of a list are alive.

    Raises:
        ValueError: the list is beyond the postings.
        IndexError: a document does not exist.
    """
    return int(np.count_nonzero(alive[_list(docs, begin, end)]))


def top_bm25(
    docs: Array,
    tfs: Array,
    doclens: npt.NDArray[np.uint32],
    block_tfs: Array,
    block_doclens: npt.NDArray[np.uint16],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    blocks: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
    k1: float,
    b: float,
    average: float,
    mask: npt.NDArray[np.uint8] | None,
    k: int,
    floor: float = 0.0,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """The best documents of one segment.

    Args:
        docs: u16 or u32 ``[n]``, or u8 ``[n, 3]``: the postings' documents, ascending in each list.
        tfs: u8, u16 or u32 ``[n]``, how often the term is in the document.
        doclens: u32 ``[ndocs]``, terms in each document.
        block_tfs, block_doclens: bounds of each block of ``BLOCK`` postings; looked at by the native code
            only, which leaves out what can't be among the best.
        begins, ends: i64 ``[nq]``, the list of each term of the query.
        blocks: i64 ``[nq]``, the slot of the first block of each list.
        weights: f64 ``[nq]``, at least 0.
        k1, b: BM25's.
        average: length of a document, above 0.
        mask: u8 ``[ndocs]``, 1 for documents that may be found; None for all.
        k: how many are wanted.
        floor: documents of a lower score need not be given.

    Returns:
        u32 and f32 ``[m]``, ``m <= k``: documents of a score above 0, best first, ties by the lower number.

    Raises:
        ValueError, IndexError: a list is beyond the postings, or names a document that does not exist. Native
            code raises ValueError, and looks at what it needs only.
    """
    scores = np.zeros(len(doclens))
    norms = k1 * ((1 - b) + b * (doclens / average))
    for begin, end, weight in zip(begins.tolist(), ends.tolist(), weights.tolist(), strict=True):
        some = _list(docs, begin, end)
        if len(some) and int(some.max()) >= len(doclens):
            raise IndexError("a list names a document that does not exist")
        tf = tfs[begin:end].astype(np.float64)
        scores[some] += weight * (tf / (norms[some] + tf))
    if mask is not None:
        scores[mask == 0] = 0
    rounded = scores.astype(np.float32)
    found = np.flatnonzero((rounded > 0) & (rounded >= floor))
    order = found[np.lexsort((found, -rounded[found]))[:k]]
    return order.astype(np.uint32), rounded[order]


def _list(docs: Array, begin: int, end: int) -> npt.NDArray[np.int64]:
    if not 0 <= begin <= end <= len(docs):
        raise ValueError(f"a list goes from {begin} to {end}, of {len(docs)} postings")
    some = docs[begin:end]
    if some.ndim == 1:
        return some.astype(np.int64)
    wide: npt.NDArray[np.int64] = some.astype(np.int64) @ np.array([1, 1 << 8, 1 << 16])
    return wide
