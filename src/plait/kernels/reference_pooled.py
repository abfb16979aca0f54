"""What the native kernels for single vectors compute, in plain NumPy: ``plait.kernels.reference`` explains.

A single vector stands for a whole text (a bi-encoder's). Stored, it has 4 bits per dimension: a whole number
``n`` from 0 to 15 means ``scale * (2 * n - 15)``, with one scale for each vector that makes its length 1.
Uniform levels, because they can be multiplied as they are, without a table (Max, "Quantizing for minimum
distortion", 1960, says how far apart they should be for a normal distribution).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]

#: Twice what a number of 4 bits is shifted by: levels are odd, from -15 to 15.
POOLED_ZERO = 15
#: The largest of a query's whole numbers: 127 * 128, so that their upper parts fit into 8 bits.
POOLED_TOP = 16_256
#: Up to here the sums of products fit into 32 bits.
WIDEST_POOLED = 8192


def pooled_levels(rows: Array) -> npt.NDArray[np.int32]:
    """i32 ``[n, 2 * bytes]``: the odd levels ``2 * n - 15`` of packed rows u8 ``[n, bytes]``.

    Byte ``i`` holds dimension ``i`` in its low half and dimension ``bytes + i`` in its high half.
    """
    nibbles = np.concatenate([rows & 15, rows >> 4], axis=1)
    return 2 * nibbles.astype(np.int32) - POOLED_ZERO


def quantise_query(vector: F32, width: int) -> tuple[npt.NDArray[np.int8], float]:
    """A query in 15 bits per dimension: so fine that nothing is lost beside a document's 4.

    Args:
        vector: f32 ``[d]``.
        width: ``d`` filled up with zeros to this many.

    Returns:
        i8 ``[2, width]``, the upper parts (worth 128) and the lower ones, and what one step is worth.
    """
    padded = np.zeros(width, dtype=np.float64)
    padded[: len(vector)] = vector
    top = np.abs(padded).max(initial=0.0)
    scale = top / POOLED_TOP if top > 0 else 1.0
    whole = np.rint(padded / scale).astype(np.int32)
    upper = (whole + 64) >> 7
    return np.stack([upper, whole - 128 * upper]).astype(np.int8), float(scale)


def top_pooled(
    query: npt.NDArray[np.int8],
    query_scale: float,
    rows: Array,
    scales: F32,
    allowed: Array | None,
    count: int,
) -> tuple[npt.NDArray[np.uint32], F32]:
    """The rows with the largest dot products with a query.

    Args:
        query, query_scale: as from ``quantise_query``, of width ``2 * bytes``.
        rows: u8 ``[n, bytes]``, packed as ``pooled_levels`` says; ``bytes`` is a multiple of 8.
        scales: f32 ``[n]``, finite.
        allowed: u8 ``[n]``, 0 where a row is left out; None allows all.
        count: rows wanted.

    Returns:
        u32 ``[m]``, best first, ties by lower row, and f32 ``[m]`` scores
        ``f32(f64(integer dot) * scale * query_scale)``; ``m`` is ``count``, or as many as are allowed.
    """
    whole = 128 * query[0].astype(np.float64) + query[1]
    dots = pooled_levels(rows).astype(np.float64) @ whole  # of whole numbers below 2**53: exact
    scores = (dots * scales.astype(np.float64) * query_scale).astype(np.float32) + np.float32(0)
    docs = np.arange(len(rows)) if allowed is None else np.flatnonzero(allowed)
    order = docs[np.lexsort((docs, -scores[docs]))][:count]
    return order.astype(np.uint32), scores[order]
