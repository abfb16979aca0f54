"""ColBERTv2's residual codec: a centroid per token and a few bits per dimension.

Santhanam et al. 2022, "ColBERTv2", section 3.3. The packing and the meaning of every array are
those of the ``colbert-ai`` code, so indexes of the field can be taken over as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec.kmeans import Assigner, fit_centroids, quantise_centroids
from plait.errors import InvalidParameter
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray

NBITS = (1, 2, 4, 8)
ROWS_PER_BLOCK = 16_384
#: Vectors that each centroid is trained on, at most.
SAMPLE_PER_CENTROID = 48
#: Vectors kept out of the clustering to measure the buckets on: 5 %, at most this many.
HELD_OUT = 16_384
#: The mean size of residuals over that of the weights, whose buckets hold as many each: few say little
#: about the widest residuals. Measured on text.
WIDER_THAN_WEIGHTS = {1: 1.29, 2: 1.14, 4: 1.03, 8: 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class ResidualTokens:
    """Compressed token vectors.

    Attributes:
        codes: u32 ``[ntokens]``, the centroid of each token.
        residuals: u8 ``[ntokens, ceil(dim * nbits / 8)]``, packed bucket numbers.
        scales: f16 ``[ntokens]``, one over the length of centroid + residual.
    """

    codes: npt.NDArray[np.uint32]
    residuals: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]

    @classmethod
    def join(cls, parts: list[ResidualTokens]) -> ResidualTokens:
        """One after the other."""
        return cls(
            np.concatenate([part.codes for part in parts]),
            np.concatenate([part.residuals for part in parts]),
            np.concatenate([part.scales for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class ResidualCodec:
    """Centroids and buckets; immutable.

    Attributes:
        centroids: f32 ``[ncentroids, dim]``, values that f16 can hold.
        cutoffs: f32 ``[2**nbits - 1]``, ascending borders of the buckets.
        weights: f32 ``[2**nbits]``, the value that stands for each bucket.
    """

    centroids: FloatArray
    cutoffs: FloatArray
    weights: FloatArray

    @property
    def nbits(self) -> int:
        """Bits per dimension: 1, 2, 4 or 8."""
        return len(self.weights).bit_length() - 1

    @property
    def dim(self) -> int:
        """Components per vector."""
        return int(self.centroids.shape[1])

    @property
    def ncentroids(self) -> int:
        """Number of centroids."""
        return len(self.centroids)

    @property
    def row_bytes(self) -> int:
        """Bytes of residual per token."""
        return -(-self.dim * self.nbits // 8)

    @classmethod
    def fit(
        cls,
        vectors: FloatArray,
        *,
        nbits: int,
        ntokens: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ResidualCodec:
        """Train on token vectors.

        Args:
            vectors: f32 ``[n, dim]``, n >= 1, a fair sample of what will be compressed.
            nbits: 1, 2, 4 or 8.
            ntokens: how many vectors will be compressed; sets the number of centroids.
            seed: same seed, same vectors: same codec.
            threads: None for all cores; the result does not depend on it.
            progress: called with ``(k-means rounds done, rounds in all)``.
        """
        require_nbits(nbits)
        rng = np.random.default_rng(seed)
        ncentroids = min(centroid_count(ntokens or len(vectors)), len(vectors))
        order = rng.permutation(len(vectors))
        held_out = order[: min(HELD_OUT, max(1, len(vectors) // 20))]
        training = order[len(held_out) :] if len(vectors) - len(held_out) >= ncentroids else order
        centroids = fit_centroids(
            vectors[training[: SAMPLE_PER_CENTROID * ncentroids]],
            ncentroids,
            seed=seed,
            threads=threads,
            progress=progress,
        )
        centroids = centroids.astype(np.float16).astype(np.float32)
        return cls(centroids, *fit_buckets(vectors[np.sort(held_out)], centroids, nbits, threads))

    def compress(self, vectors: FloatArray, threads: int | None = None) -> ResidualTokens:
        """Compress f32 ``[n, dim]``."""
        assigner = self.assigner

        def work(rows: slice) -> ResidualTokens:
            block = np.ascontiguousarray(vectors[rows])
            codes = assigner(block, 1)
            residuals = kernels.compress(block, self.centroids, codes, self.cutoffs, self.nbits)
            return self._with_scales(codes, residuals)

        blocks = row_blocks(len(vectors), ROWS_PER_BLOCK) or [slice(0, 0)]
        return ResidualTokens.join(map_threads(work, blocks, threads))

    @property
    def unexplained_known(self) -> float:
        """About the squared length of the residuals of the vectors that the codec was trained on.

        The buckets divide these residuals into parts of the same size.
        """
        return self.dim * (float(np.abs(self.weights).mean()) * WIDER_THAN_WEIGHTS[self.nbits]) ** 2

    def unexplained(self, vectors: FloatArray, threads: int | None = None) -> float:
        """The same of f32 ``[n, dim]``."""
        vectors = np.ascontiguousarray(vectors[vectors.any(axis=1)])
        if not len(vectors):
            return 0.0
        centroids = self.centroids[self.assigner(vectors, threads)]
        return self.dim * float(np.abs(vectors - centroids).mean()) ** 2

    def adopt(
        self, codes: npt.NDArray[np.uint32], residuals: npt.NDArray[np.uint8], threads: int | None = None
    ) -> ResidualTokens:
        """Tokens that another tool compressed with this codec: codes below ``ncentroids``, packed buckets."""

        def work(rows: slice) -> ResidualTokens:
            return self._with_scales(codes[rows], residuals[rows])

        blocks = row_blocks(len(codes), ROWS_PER_BLOCK) or [slice(0, 0)]
        return ResidualTokens.join(map_threads(work, blocks, threads))

    def _with_scales(self, codes: npt.NDArray[np.uint32], residuals: npt.NDArray[np.uint8]) -> ResidualTokens:
        scales = kernels.inverse_norms(codes, residuals, self.centroids, self.weights, self.nbits)
        return ResidualTokens(codes, residuals, scales)

    def decompress(self, codes: npt.NDArray[np.uint32], residuals: npt.NDArray[np.uint8]) -> FloatArray:
        """Reconstruct f32 ``[n, dim]`` vectors of length 1."""
        return kernels.decompress(codes, residuals, self.centroids, self.weights, self.nbits)

    @cached_property
    def assigner(self) -> Assigner:
        """What finds the centroid of a vector."""
        return Assigner.of(self.centroids)

    @cached_property
    def int8(self) -> Int8Tables:
        """The codec's numbers in int8, for the integer kernels."""
        centroids, scales = quantise_centroids(self.centroids)
        zero = kernels.LEVEL_ZERO[self.nbits]
        level_scale = max(float(np.abs(self.weights).max()), 1e-12) / (zero - 1)
        levels = np.rint(self.weights / level_scale).astype(np.int16) + zero
        longest = float(np.linalg.norm(self.centroids, axis=1).max())
        return Int8Tables(centroids, scales, levels.astype(np.uint8), level_scale, longest)


@dataclass(frozen=True, slots=True, eq=False)
class Int8Tables:
    """A codec in int8.

    Attributes:
        centroids: u8 ``[ncentroids, dim]`` around 128.
        centroid_scales: f32 ``[ncentroids]``.
        levels: u8 ``[2**nbits]``, bucket weights around the zero point.
        level_scale: the bucket weight that one step of a level is worth.
        longest_centroid: the largest length of a centroid.
    """

    centroids: npt.NDArray[np.uint8]
    centroid_scales: FloatArray
    levels: npt.NDArray[np.uint8]
    level_scale: float
    longest_centroid: float


def require_nbits(nbits: int) -> None:
    """Raise InvalidParameter unless nbits is 1, 2, 4 or 8."""
    if nbits not in NBITS:
        raise InvalidParameter(f"nbits must be one of {NBITS}, not {nbits!r}")


def centroid_count(ntokens: int) -> int:
    """A power of two near ``ntokens / 64``, and at most ColBERTv2's ``16 * sqrt(ntokens)``."""
    return 1 << int(math.log2(max(1.0, min(ntokens / 64, 16 * math.sqrt(ntokens)))))


def fit_buckets(
    vectors: FloatArray, centroids: FloatArray, nbits: int, threads: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Bucket cutoffs f32 ``[2**nbits - 1]`` and weights f32 ``[2**nbits]``.

    Quantiles of all residual components: borders at ``i / 2**nbits``, weights at the middle of each
    bucket, ``(i + .5) / 2**nbits``.
    """
    residuals = (vectors - centroids[Assigner.of(centroids, threads)(vectors, threads)]).ravel()
    steps = np.arange(1 << nbits) / (1 << nbits)
    quantiles = np.quantile(residuals, np.concatenate([steps[1:], steps + 0.5 / (1 << nbits)]))
    quantiles = quantiles.astype(np.float32)
    return quantiles[: len(steps) - 1], quantiles[len(steps) - 1 :]
