"""A query made ready for the integer kernels, once per codec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import ResidualCodec
from plait.types import FloatArray

#: Largest magnitude in the i16 table of centroid scores.
TABLE_LIMIT = 32_767


@dataclass(frozen=True, eq=False)
class CodecQuery:
    """One query against one codec.

    Attributes:
        vectors: f32 ``[nq, dim]``.
        codec: whose centroids and levels the numbers below are in units of.
    """

    vectors: FloatArray
    codec: ResidualCodec

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
