"""Compact codes of single vectors (a bi-encoder's): 4 bits per dimension and a scale for each vector.

Uniform levels with a step that fits the vector (Max, 1960, for a normal distribution; wider ones are tried,
since some vectors have few large components). docs/decisions/0023-bi-encoder.md says why not 8 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plait.kernels import WIDEST_POOLED, pooled_levels
from plait.types import FloatArray

__all__ = ["POOLED_BITS", "WIDEST_POOLED", "compress_pooled", "decompress_pooled", "pooled_bytes"]

POOLED_BITS = 4
#: Steps to try, for a standard deviation of 1: the best one for a normal distribution, and wider ones.
_STEPS = (0.3352, 0.5, 0.75)
_BLOCK = 4096


def pooled_bytes(dim: int) -> int:
    """Bytes of one vector's codes, without its scale: a multiple of 8."""
    return -(-dim // 16) * 8


def compress_pooled(vectors: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Codes of vectors, each on its own.

    Args:
        vectors: f32 ``[n, dim]``, finite; only their directions are kept.

    Returns:
        u8 ``[n, pooled_bytes(dim)]`` and f32 ``[n]``: ``kernels.pooled_levels`` times the scale is
        a vector of length 1; the scale of a vector of zeros is 0.
    """
    count, dim = vectors.shape
    rows = np.zeros((count, pooled_bytes(dim)), dtype=np.uint8)
    scales = np.zeros(count, dtype=np.float32)
    for start in range(0, count, _BLOCK):
        block = slice(start, min(start + _BLOCK, count))
        numbers, scales[block] = _best(vectors[block].astype(np.float64))
        rows[block] = _packed(numbers, rows.shape[1])
    return rows, scales


def decompress_pooled(rows: npt.NDArray[np.uint8], scales: FloatArray, dim: int) -> FloatArray:
    """f32 ``[n, dim]`` of unit length, from codes and scales."""
    found: FloatArray = pooled_levels(rows)[:, :dim].astype(np.float32) * scales[:, None]
    return found


def _best(vectors: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Numbers of levels ``[n, dim]`` and scales ``[n]``, of the step with the largest cosine."""
    lengths = np.sqrt(np.square(vectors).sum(axis=1))
    top = np.abs(vectors).max(axis=1, initial=0)
    deviation = lengths / np.sqrt(max(1, vectors.shape[1]))
    best = np.zeros(vectors.shape, dtype=np.int64)
    scales = np.zeros(len(vectors))
    cosines = np.full(len(vectors), -np.inf)
    for step in (*(share * deviation for share in _STEPS), top / 7.5):
        wide = np.where(step > 0, step, 1.0)[:, None]
        numbers = np.clip(np.floor(vectors / wide) + 8, 0, 15).astype(np.int64)
        levels = 2 * numbers - 15
        norms = np.sqrt(np.square(levels).sum(axis=1))
        found = (vectors * levels).sum(axis=1) / norms
        better = (found > cosines) & (lengths > 0)
        best[better], scales[better], cosines[better] = numbers[better], 1 / norms[better], found[better]
    return best, scales


def _packed(numbers: npt.NDArray[Any], nbytes: int) -> npt.NDArray[np.uint8]:
    """Two numbers in a byte: dimension ``i`` in the low half of byte ``i``, ``nbytes + i`` in the high."""
    padded = np.zeros((len(numbers), 2 * nbytes), dtype=np.uint8)
    padded[:, : numbers.shape[1]] = numbers
    return padded[:, :nbytes] | np.left_shift(padded[:, nbytes:], 4, dtype=np.uint8)
