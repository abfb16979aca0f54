"""How a query meets segments of the scaled codec: lists through groups of centroids, int8 codes, f32."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import ScaledCodec
from plait.search.params import SearchParams
from plait.search.pool import Docs, Mask, Pool, top_pools
from plait.store import Segment
from plait.types import FloatArray


@dataclass(frozen=True, eq=False)
class ScaledQuery:
    """One query against one scaled codec.

    Attributes:
        vectors: f32 ``[nq, dim]``.
        codec: in whose rotated space the rest is computed.
        merge: query tokens at least so similar count as one until the last stage.
    """

    vectors: FloatArray
    codec: ScaledCodec
    merge: float

    def prepare(self) -> None:
        """Compute what threads share."""
        self.merged  # noqa: B018

    @cached_property
    def rotated(self) -> FloatArray:
        """f32 ``[nq, width]``."""
        return self.codec.rotate(self.vectors)

    @cached_property
    def merged(self) -> FloatArray:
        """f32 ``[at most nq, width]``: sums of near-duplicate tokens."""
        if self.merge >= 1:
            return self.rotated
        return kernels.merge_tokens(self.rotated, self.merge)

    def candidates(self, segments: list[tuple[Segment, Mask]], params: SearchParams, k: int) -> list[Pool]:
        """The documents worth rescoring, over all segments of this codec."""
        count = max(params.ndocs, k)
        centroids = self.centroids(params)
        pools = []
        for segment, mask in segments:
            lists, scores = self.lists(segment, params, centroids)
            ivf = segment.ivf_offsets, segment.arrays["ivf_docs"]
            pools.append(Pool(segment, *kernels.gather_top(lists, scores, *ivf, mask, segment.ndocs, count)))
        return top_pools(pools, count)

    def centroids(self, params: SearchParams) -> tuple[npt.NDArray[np.uint32], FloatArray]:
        """The best centroids of each token and the first not wanted: u32, f32 ``[m, nprobe + 1]``."""
        codec = self.codec
        count = min(params.nprobe + 1, codec.ncentroids)
        groups = np.zeros((len(self.merged), 1), dtype=np.uint32)
        if len(codec.heads) > 1:
            everything = np.array([0, len(codec.heads)], dtype=np.int64)
            most = min(params.ngroups, len(codec.heads))
            groups, _ = kernels.top_rows(
                self.merged, groups, everything, codec.heads, codec.head_scales, most
            )
        return kernels.top_rows(
            self.merged, groups, codec.group_offsets, codec.centroids, codec.centroid_scales, count
        )

    def lists(
        self, segment: Segment, params: SearchParams, centroids: tuple[npt.NDArray[np.uint32], FloatArray]
    ) -> tuple[npt.NDArray[np.uint32], FloatArray]:
        """The lists of a segment to visit for each token: of the centroids, or of their best children."""
        if segment.child_offsets is None:
            return centroids
        rows, scales = segment.arrays["child_centroids"], segment.arrays["child_scales"]
        count = min(params.nprobe + 1, len(rows))
        return kernels.top_rows(self.merged, centroids[0], segment.child_offsets, rows, scales, count)

    def rescore(self, segment: Segment, docs: Docs) -> FloatArray:
        """MaxSim f32 ``[m]`` of documents u32 ``[m]``, from their codes in int8, of the merged tokens."""
        return kernels.maxsim_scaled(self.merged, *self._tokens(segment), segment.offsets, docs)

    def refine(self, segment: Segment, docs: Docs) -> FloatArray:
        """MaxSim f32 ``[m]`` of documents u32 ``[m]`` on the reconstructed vectors, of all tokens."""
        return kernels.maxsim_decoded(self.rotated, *self._tokens(segment), segment.offsets, docs)

    def _tokens(self, segment: Segment) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any]:
        arrays = segment.arrays
        return (arrays["codes"], arrays["residuals"], arrays["gains"], *self.codec.kernel_arrays)
