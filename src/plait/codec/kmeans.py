"""Centroids by spherical k-means, seeded: the same sample gives the same centroids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray, offsets_of

ROWS_PER_BLOCK = 16_384
#: From this many centroids on they are searched through groups.
MIN_GROUPED = 1024
#: Groups searched for each vector, and while centroids are still moving. Of 65,536 centroids on real tokens 3
#: leave .298 of the energy to the residual, 4 .295, 6 .293 and 16 .291; time goes with them.
GROUPS_SEARCHED = 4
GROUPS_ROUGHLY = 3


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
        codes = Assigner.of(centroids)(sample, threads, GROUPS_ROUGHLY)
        sums, counts = kernels.sum_by_centroid(sample, codes, ncentroids)
        empty = np.flatnonzero(counts == 0)
        sums[empty] = sample[rng.integers(len(sample), size=len(empty))]
        centroids = normalise(sums.astype(np.float32))
        if progress:
            progress(iteration + 1, niters)
    return centroids


@dataclass(frozen=True, slots=True, eq=False)
class Assigner:
    """Finds the nearest centroid of vectors, in int8.

    Many centroids are first put into about ``sqrt(n)`` groups of neighbours, and only the groups whose
    heads are nearest to a vector are searched (decision 0009).

    Attributes:
        centroids: u8 ``[ncentroids, dim]`` around 128, group by group.
        scales: f32 ``[ncentroids]``.
        numbers: u32 ``[ncentroids]``, the centroid that stands at each place; None for their own order.
        heads: u8 ``[ngroups, dim]``, the middle of each group.
        head_scales: f32 ``[ngroups]``.
        head_units: f32 ``[ngroups]``, the scales in units of the i16 table of the heads.
        offsets: i64 ``[ngroups + 1]``, where each group begins.
    """

    centroids: npt.NDArray[np.uint8]
    scales: FloatArray
    numbers: npt.NDArray[np.uint32] | None = None
    heads: npt.NDArray[np.uint8] | None = None
    head_scales: FloatArray | None = None
    head_units: FloatArray | None = None
    offsets: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(cls, centroids: FloatArray) -> Assigner:
        """Prepare centroids f32 ``[ncentroids, dim]``; the same centroids give the same groups."""
        if len(centroids) < MIN_GROUPED:
            return cls(*quantise_centroids(centroids))
        heads = fit_centroids(centroids, 1 << math.ceil(math.log2(len(centroids)) / 2), threads=1)
        group = cls.of(heads)(centroids, 1)
        order = np.argsort(group, kind="stable").astype(np.uint32)
        sizes = np.bincount(group, minlength=len(heads))
        heads8, head_scales = quantise_centroids(heads[sizes > 0])
        rows, scales = quantise_centroids(centroids[order])
        return cls.grouped(rows, scales, heads8, head_scales, offsets_of(sizes[sizes > 0]), order)

    @classmethod
    def grouped(
        cls,
        centroids: npt.NDArray[np.uint8],
        scales: FloatArray,
        heads: npt.NDArray[np.uint8],
        head_scales: FloatArray,
        offsets: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.uint32] | None = None,
    ) -> Assigner:
        """From centroids that are in groups already."""
        # So that the largest possible dot product fits the i16 table of the heads.
        sizes = np.linalg.norm(heads.astype(np.float32) - kernels.CENTROID_ZERO, axis=1) * head_scales
        widest = 1.01 * 127 * math.sqrt(centroids.shape[1]) * max(float(sizes.max()), 1e-30)
        units = head_scales * np.float32(32_000 / widest)
        return cls(centroids, scales, numbers, heads, head_scales, units, offsets)

    def __call__(
        self, vectors: FloatArray, threads: int | None = None, ngroups: int = GROUPS_SEARCHED
    ) -> npt.NDArray[np.uint32]:
        """u32 ``[n]``: the nearest centroid of each vector f32 ``[n, dim]``, in so many groups."""
        blocks = row_blocks(len(vectors), ROWS_PER_BLOCK)
        parts = map_threads(lambda rows: self._assign(vectors[rows], ngroups), blocks, threads)
        return np.concatenate([np.empty(0, dtype=np.uint32), *parts])

    def _assign(self, vectors: FloatArray, ngroups: int) -> npt.NDArray[np.uint32]:
        if self.heads is None or self.head_units is None or self.offsets is None:
            return kernels.assign(vectors, self.centroids, self.scales)
        nprobe = min(ngroups, len(self.heads))
        places = kernels.assign_grouped(
            vectors, self.heads, self.head_units, self.centroids, self.scales, self.offsets, nprobe
        )
        return places if self.numbers is None else self.numbers[places]


def quantise_centroids(centroids: FloatArray) -> tuple[npt.NDArray[np.uint8], FloatArray]:
    """Centroids as unsigned int8 around 128: ``(u8 [n, dim], scales f32 [n])``."""
    rows, scales = kernels.quantise_rows(centroids)
    return (rows.astype(np.int16) + kernels.CENTROID_ZERO).astype(np.uint8), scales


def normalise(vectors: FloatArray) -> FloatArray:
    """Each row divided by its length; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit
