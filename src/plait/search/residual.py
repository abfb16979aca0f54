"""How a query meets segments of the residual codec: lists, centroids only, int8 codes, f32."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import ResidualCodec
from plait.search.masks import Mask
from plait.search.params import SearchParams
from plait.search.pool import Docs, Pool, top_pools
from plait.store import Segment
from plait.types import FloatArray

#: Largest magnitude in the i16 table of centroid scores.
TABLE_LIMIT = 32_767


@dataclass(frozen=True, eq=False)
class ResidualQuery:
    """One query against one residual codec.

    Attributes:
        vectors: f32 ``[nq, dim]``.
        codec: whose centroids and levels the numbers below are in units of.
    """

    vectors: FloatArray
    codec: ResidualCodec

    def prepare(self) -> None:
        """Compute what threads share."""
        self.table  # noqa: B018

    def candidates(self, segments: list[tuple[Segment, Mask]], params: SearchParams, k: int) -> list[Pool]:
        """The documents worth rescoring, over all segments of this codec."""
        pools = [self.gather(segment, params.nprobe, mask) for segment, mask in segments]
        return [
            Pool(pool.segment, pool.docs, self.approximate(pool.segment, pool.docs))
            for pool in top_pools(pools, max(params.ncandidates, k))
        ]

    def adapted(self, segments: list[Segment], params: SearchParams) -> SearchParams:
        """The parameters as they are: documents are put in order before they are rescored."""
        return params

    looks_twice = False

    def look(self, segment: Segment, docs: Docs) -> FloatArray:
        """As ``rescore``."""
        return self.rescore(segment, docs)

    def gather(self, segment: Segment, nprobe: int, allowed: Mask) -> Pool:
        """Documents in the lists of the probed centroids.

        Their scores are sums over query tokens of how much better than the last list the best list is.
        """
        arrays = segment.arrays
        lists = self.probes(nprobe)
        found = kernels.gather(
            self.table,
            lists,
            self.table_weights,
            segment.ivf_offsets,
            arrays["ivf_docs"],
            allowed,
            segment.ndocs,
        )
        return Pool(segment, *found)

    def approximate(self, segment: Segment, docs: Docs) -> FloatArray:
        """Centroid-only scores f32 ``[m]`` of documents u32 ``[m]`` (PLAID, section 4.2)."""
        return kernels.approximate(
            self.table, self.table_weights, segment.arrays["codes"], segment.offsets, docs
        )

    def rescore(self, segment: Segment, docs: Docs) -> FloatArray:
        """MaxSim f32 ``[m]`` of documents u32 ``[m]``, from their codes in int8."""
        arrays = segment.arrays
        return kernels.maxsim_codes(
            self.quantised[0],
            self.rescore_weights,
            self.table,
            self.shift,
            self.codec.int8.levels,
            self.codec.nbits,
            arrays["codes"],
            arrays["residuals"],
            arrays["scales"],
            segment.offsets,
            docs,
        )

    def refine(self, segment: Segment, docs: Docs) -> FloatArray:
        """MaxSim f32 ``[m]`` of documents u32 ``[m]`` on the reconstructed vectors."""
        rows, offsets = segment.vectors(docs)
        return kernels.maxsim(self.vectors, rows, offsets, np.arange(len(docs), dtype=np.uint32))

    # The query in the codec's numbers ----------------------------------------------------------

    @cached_property
    def quantised(self) -> tuple[npt.NDArray[np.int8], FloatArray]:
        """i8 ``[nq, dim]`` and the f32 ``[nq]`` scale of each row."""
        return kernels.quantise_rows(self.vectors)

    @cached_property
    def shift(self) -> int:
        """Bits dropped from ``query8 . centroid`` so that every score fits an i16."""
        longest = float(np.linalg.norm(self.quantised[0].astype(np.float32), axis=1).max())
        bound = 1.01 * longest * self.codec.int8.longest_centroid / self.codec.int8.level_scale
        return min(15, max(0, math.ceil(math.log2(max(1.0, bound / TABLE_LIMIT)))))

    @cached_property
    def rescore_weights(self) -> FloatArray:
        """f32 ``[lanes]``: what one unit of ``query8 . level`` is worth."""
        weights = np.zeros(kernels.lanes_of(len(self.vectors)), dtype=np.float32)
        weights[: len(self.vectors)] = self.quantised[1] * np.float32(self.codec.int8.level_scale)
        return weights

    @cached_property
    def table_weights(self) -> FloatArray:
        """f32 ``[lanes]``: what one unit of the table is worth."""
        return self.rescore_weights * np.float32(1 << self.shift)

    @cached_property
    def table(self) -> npt.NDArray[np.int16]:
        """i16 ``[ncentroids, lanes]``: score of every centroid with every query token."""
        tables = self.codec.int8
        unit = np.float32(tables.level_scale * (1 << self.shift))
        return kernels.centroid_scores(self.quantised[0], tables.centroids, tables.centroid_scales / unit)

    def probes(self, nprobe: int) -> npt.NDArray[np.uint32]:
        """u32 ``[nq, nprobe + 1]``: the best centroids of each token, and the one after them."""
        return kernels.top_centroids(self.table, len(self.vectors), min(nprobe + 1, self.codec.ncentroids))
