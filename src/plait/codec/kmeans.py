"""Centroids by spherical k-means, seeded: the same sample gives the same centroids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray

ROWS_PER_BLOCK = 16_384


def fit_centroids(
    sample: FloatArray,
    ncentroids: int,
    *,
    niters: int = 4,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Cluster unit vectors by dot product (Lloyd's algorithm on the sphere).

    Four iterations, as in ColBERTv2. A cluster that runs empty takes a random vector of the sample.

    Args:
        sample: f32 ``[n, dim]``, n >= ncentroids.
        ncentroids: how many centroids.
        niters: rounds of assigning and averaging.
        seed: of the first choice and of the replacements.
        threads: None for all cores; the result does not depend on it.
        progress: called with ``(rounds done, niters)``.

    Returns:
        f32 ``[ncentroids, dim]``, each of length 1.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(sample), size=ncentroids, replace=False))
    centroids = normalise(sample[chosen])
    for iteration in range(niters):
        codes = assign(sample, centroids, threads)
        sums, counts = kernels.sum_by_centroid(sample, codes, ncentroids)
        empty = np.flatnonzero(counts == 0)
        sums[empty] = sample[rng.integers(len(sample), size=len(empty))]
        centroids = normalise(sums.astype(np.float32))
        if progress:
            progress(iteration + 1, niters)
    return centroids


def assign(vectors: FloatArray, centroids: FloatArray, threads: int | None = None) -> npt.NDArray[np.uint32]:
    """u32 ``[n]``: the nearest centroid of each vector f32 ``[n, dim]``, found in int8."""
    centroids8, scales = quantise_centroids(centroids)
    blocks = row_blocks(len(vectors), ROWS_PER_BLOCK)
    parts = map_threads(lambda rows: kernels.assign(vectors[rows], centroids8, scales), blocks, threads)
    return np.concatenate([np.empty(0, dtype=np.uint32), *parts])


def quantise_centroids(centroids: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Centroids as unsigned int8 around 128: ``(u8 [n, dim], scales f32 [n])``."""
    rows, scales = kernels.quantise_rows(centroids)
    return (rows.astype(np.int16) + kernels.CENTROID_ZERO).astype(np.uint8), scales


def normalise(vectors: FloatArray) -> FloatArray:
    """Each row divided by its length; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit
