"""Random inputs for the kernels, complete and consistent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plait.kernels import reference

DIMS = (1, 7, 13, 64, 96, 128, 130)


@dataclass(frozen=True)
class Case:
    """A query and a segment in every form that a kernel takes."""

    nbits: int
    query: np.ndarray
    query8: np.ndarray
    centroids: np.ndarray
    centroids8: np.ndarray
    centroid_scales: np.ndarray
    vectors: np.ndarray
    offsets: np.ndarray
    docs: np.ndarray
    codes: np.ndarray
    cutoffs: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    levels: np.ndarray
    scales: np.ndarray
    lane_weights: np.ndarray
    table: np.ndarray
    shift: int

    def maxsim_codes(self, **changes: Any) -> dict[str, Any]:
        return self._arguments(
            "query8 lane_weights table shift levels nbits codes residuals scales offsets docs", changes
        )

    def approximate(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("table lane_weights codes offsets docs", changes)

    def maxsim(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("query vectors offsets docs", changes)

    def compress(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("vectors centroids codes cutoffs nbits", changes)

    def decompress(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("codes residuals centroids weights nbits", changes)

    def centroid_scores(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("query8 centroids8", {"row_scale": self.centroid_scales * 0.02} | changes)

    def assign(self, **changes: Any) -> dict[str, Any]:
        return self._arguments("vectors centroids8", {"scales": self.centroid_scales} | changes)

    def assign_grouped(self, **changes: Any) -> dict[str, Any]:
        """The centroids in groups of 1 to 7, each with its first centroid as its head."""
        sizes = np.random.default_rng(len(self.centroids8)).integers(1, 8, size=len(self.centroids8))
        offsets = np.minimum(np.concatenate([[0], np.cumsum(sizes)]), len(self.centroids8))
        offsets = np.unique(offsets).astype(np.int64)
        grouped = {
            "heads8": np.ascontiguousarray(self.centroids8[offsets[:-1]]),
            "head_scale": self.centroid_scales[offsets[:-1]] * np.float32(0.02),
            "scales": self.centroid_scales,
            "group_offsets": offsets,
            "nprobe": min(3, len(offsets) - 1),
            "margin": 2.0,
        }
        return self._arguments("vectors centroids8", grouped | changes)

    def _arguments(self, names: str, changes: dict[str, Any]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names.split()} | changes


def make_case(
    seed: int,
    dim: int = 128,
    nq: int = 32,
    nbits: int = 2,
    doclens: tuple[int, ...] = (3, 0, 1, 80, 11, 12, 13),
    ncentroids: int = 50,
    repeats: int = 2,
) -> Case:
    rng = np.random.default_rng(seed)

    def unit(n: int) -> np.ndarray:
        rows = rng.standard_normal((n, dim)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)

    offsets = np.concatenate([[0], np.cumsum(doclens)]).astype(np.int64)
    ntokens = int(offsets[-1])
    query, centroids, vectors = unit(nq), unit(ncentroids), unit(ntokens)
    query8, _ = reference.quantise_rows(query)
    rows8, centroid_scales = reference.quantise_rows(centroids)
    codes = rng.integers(0, ncentroids, ntokens).astype(np.uint32)
    nbuckets = 1 << nbits
    cutoffs = np.sort(rng.standard_normal(nbuckets - 1).astype(np.float32) * 0.1)
    weights = np.sort(rng.standard_normal(nbuckets).astype(np.float32) * 0.1)
    residuals = reference.compress(vectors, centroids, codes, cutoffs, nbits)
    lanes = reference.lanes_of(nq)
    lane_weights = np.zeros(lanes, dtype=np.float32)
    lane_weights[:nq] = rng.random(nq) + 0.1
    table = np.zeros((ncentroids, lanes), dtype=np.int16)
    table[:, :nq] = rng.integers(-32768, 32768, (ncentroids, nq))
    ndocs = len(doclens)
    return Case(
        nbits=nbits,
        query=query,
        query8=query8,
        centroids=centroids,
        centroids8=(rows8.astype(np.int16) + 128).astype(np.uint8),
        centroid_scales=centroid_scales,
        vectors=vectors,
        offsets=offsets,
        docs=rng.permutation(np.tile(np.arange(ndocs), repeats)).astype(np.uint32),
        codes=codes,
        cutoffs=cutoffs,
        weights=weights,
        residuals=residuals,
        levels=rng.integers(0, 256 if nbits == 8 else 128, nbuckets).astype(np.uint8),
        scales=reference.inverse_norms(codes, residuals, centroids, weights, nbits),
        lane_weights=lane_weights,
        table=table,
        shift=int(rng.integers(0, 8)),
    )


@dataclass(frozen=True)
class Lists:
    """What `gather` takes."""

    table: np.ndarray
    probes: np.ndarray
    lane_weights: np.ndarray
    ivf_offsets: np.ndarray
    ivf_pids: np.ndarray
    allowed: np.ndarray | None
    ndocs: int

    def arguments(self, **changes: Any) -> dict[str, Any]:
        return vars(self) | changes


def make_lists(
    seed: int, ndocs: int, nq: int, nprobe: int, ncentroids: int = 40, longest: int = 60, some: bool = False
) -> Lists:
    rng = np.random.default_rng(seed)
    lanes = reference.lanes_of(nq)
    table = np.zeros((ncentroids, lanes), dtype=np.int16)
    table[:, :nq] = rng.integers(-3000, 3000, (ncentroids, nq))
    lists = [
        np.sort(rng.choice(ndocs, size=min(ndocs, int(rng.integers(0, longest + 1))), replace=False))
        for _ in range(ncentroids)
    ]
    weights = np.zeros(lanes, dtype=np.float32)
    weights[:nq] = rng.random(nq)
    return Lists(
        table=table,
        probes=reference.top_centroids(table, nq, min(nprobe, ncentroids)),
        lane_weights=weights,
        ivf_offsets=np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64),
        ivf_pids=np.concatenate(lists).astype(np.uint32),
        allowed=rng.integers(0, 2, ndocs).astype(np.uint8) if some else None,
        ndocs=ndocs,
    )
