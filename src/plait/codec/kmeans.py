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
#: Of these, groups whose head has a cosine so much smaller than the nearest one's are left out, where there
#: are so many groups that it saves much.
GROUP_MARGIN, FROM_GROUPS = 0.12, 128
#: The shares of the sample that the rounds of k-means before the last look at, while centroids are still far
#: from where they end.
SHARES = (0.25, 0.25, 0.5)
#: But at no fewer than so many for each centroid.
FEWEST_PER_CENTROID = 8


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

    Four iterations, as in ColBERTv2, but the first three on parts of the sample. A cluster that runs empty
    takes a random vector of the sample.

    Args:
        sample: f32 ``[n, dim]``, n >= ncentroids, in random order.
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
        some = _some(sample, iteration, niters, ncentroids)
        codes = Assigner.of(centroids, threads)(some, threads, GROUPS_ROUGHLY)
        sums, counts = kernels.sum_by_centroid(some, codes, ncentroids)
        empty = np.flatnonzero(counts == 0)
        sums[empty] = sample[rng.integers(len(sample), size=len(empty))]
        centroids = normalise(sums.astype(np.float32))
        if progress:
            progress(iteration + 1, niters)
    return centroids


def _some(sample: FloatArray, iteration: int, niters: int, ncentroids: int) -> FloatArray:
    """The vectors that a round looks at."""
    earlier = niters - 1 - iteration
    share = SHARES[max(0, len(SHARES) - earlier)] if earlier else 1.0
    count = max(round(share * len(sample)), min(len(sample), FEWEST_PER_CENTROID * ncentroids))
    # Not the part of the round before, where there is another.
    return sample[-count:] if iteration % 2 else sample[:count]


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
        margin: ``GROUP_MARGIN`` in these units, for a vector whose int8 form has length 1; or infinity.
        offsets: i64 ``[ngroups + 1]``, where each group begins.
    """

    centroids: npt.NDArray[np.uint8]
    scales: FloatArray
    numbers: npt.NDArray[np.uint32] | None = None
    heads: npt.NDArray[np.uint8] | None = None
    head_scales: FloatArray | None = None
    head_units: FloatArray | None = None
    offsets: npt.NDArray[np.int64] | None = None
    margin: float = math.inf

    @classmethod
    def of(cls, centroids: FloatArray, threads: int | None = 1) -> Assigner:
        """Prepare centroids f32 ``[ncentroids, dim]``; the same centroids give the same groups."""
        if len(centroids) < MIN_GROUPED:
            return cls(*quantise_centroids(centroids))
        count = 1 << math.ceil(math.log2(len(centroids)) / 2)
        heads = fit_centroids(centroids, count, threads=threads)
        group = cls.of(heads)(centroids, threads)
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
        unit = 32_000 / widest
        units = head_scales * np.float32(unit)
        margin = GROUP_MARGIN * unit if len(heads) >= FROM_GROUPS else math.inf
        return cls(centroids, scales, numbers, heads, head_scales, units, offsets, margin)

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
            vectors,
            self.heads,
            self.head_units,
            self.centroids,
            self.scales,
            self.offsets,
            nprobe,
            self.margin,
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
