"""The scaled codec: a centroid, two gains, and more bits for the dimensions that vary more.

A token is ``a * centroid + b * detail``. The detail is what the centroid does not explain, in a basis
where its dimensions are uncorrelated (Karhunen-Loeve), each put into 16, 4, 2 or 1 levels made for a
Gaussian (Max 1960) as its variance deserves (transform coding: Huang and Schultheiss 1963). The two gains
are those that bring the sum nearest to the token, at the token's own length; without them scores shrink
with the number of bits (compare RaBitQ: Gao and Long 2024, section 3.2).
docs/decisions/0011-scaled-codec.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec.kmeans import Assigner, fit_centroids, normalise, quantise_centroids
from plait.errors import InvalidParameter
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray, offsets_of

#: Bytes of detail per token at 128 dimensions; other widths get their share.
LEVELS = {"compact": 12, "balanced": 28, "precise": 64}
ROWS_PER_BLOCK = 16_384
#: Vectors that each centroid is trained on, at most.
SAMPLE_PER_CENTROID = 32
#: Vectors that everything but the centroids is measured on.
DETAIL_SAMPLE = 131_072
#: Tokens for each centroid; there are at most 65,536 centroids, so that a code has two bytes.
TOKENS_PER_CENTROID = 96
MAX_CENTROIDS = 65_536
#: Squared error of a Gaussian of variance 1 in levels of so many bits (Max 1960, table 1).
DISTORTION = {4: 0.01154, 2: 0.1175, 1: 0.3634}
#: Dimensions that come together in each width: four bytes.
UNITS = {4: 8, 2: 16, 1: 32}
#: Values that each of the two gains takes.
GAIN_STEPS = 16


@dataclass(frozen=True, slots=True, eq=False)
class ScaledTokens:
    """Compressed token vectors.

    Attributes:
        codes: u16 ``[ntokens]``, the centroid of each token.
        residuals: u8 ``[ntokens, row bytes]``, packed levels.
        gains: u8 ``[ntokens]``, rows of the codec's table of gains.
    """

    codes: npt.NDArray[np.uint16]
    residuals: npt.NDArray[np.uint8]
    gains: npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ScaledCodec:
    """Everything that is needed to compress and to score; immutable.

    ``width`` is ``dim`` rounded up to a multiple of 8; the dimensions added are zero.

    Attributes:
        rotation: f32 ``[dim, width]``, orthonormal columns: the basis of the detail.
        centroids: u8 ``[ncentroids, width]`` around 128, rotated, group by group.
        centroid_scales: f32 ``[ncentroids]``, what one step of a centroid's bytes is worth.
        heads: u8 ``[ngroups, width]``, the middle of each group of centroids.
        head_scales: f32 ``[ngroups]``.
        group_lengths: u32 ``[ngroups]``, centroids in each group, at least 1.
        sigma: f32 ``[width]``, what one step of a level is worth; 0 for dimensions without bits.
        bits: u32 ``[3]``, dimensions with 4, 2 and 1 bits.
        gain_borders: f32 ``[17, 15]``: row 0 divides the first gain into sixteen, row ``1 + i`` the
            second gain of tokens whose first gain is in part ``i``.
        gain_values: f32 ``[256, 2]``, the gains that stand for each part.
    """

    rotation: FloatArray
    centroids: npt.NDArray[np.uint8]
    centroid_scales: FloatArray
    heads: npt.NDArray[np.uint8]
    head_scales: FloatArray
    group_lengths: npt.NDArray[np.uint32]
    sigma: FloatArray
    bits: npt.NDArray[np.uint32]
    gain_borders: FloatArray
    gain_values: FloatArray

    @property
    def dim(self) -> int:
        """Components per vector."""
        return len(self.rotation)

    @property
    def width(self) -> int:
        """Components in the rotated space."""
        return int(self.rotation.shape[1])

    @property
    def ncentroids(self) -> int:
        """Number of centroids."""
        return len(self.centroids)

    @cached_property
    def widths(self) -> tuple[int, int, int]:
        """``bits`` as the kernels take them."""
        four, two, one = self.bits.tolist()
        return four, two, one

    @property
    def row_bytes(self) -> int:
        """Bytes of detail per token."""
        return kernels.row_bytes(self.widths)

    @cached_property
    def group_offsets(self) -> npt.NDArray[np.int64]:
        """i64 ``[ngroups + 1]``: where each group begins."""
        return offsets_of(self.group_lengths)

    @classmethod
    def fit(
        cls,
        vectors: FloatArray,
        *,
        level: str = "balanced",
        row_bytes: int | None = None,
        ntokens: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ScaledCodec:
        """Train on token vectors.

        Args:
            vectors: f32 ``[n, dim]``, n >= 1, a fair sample of what will be compressed.
            level: "compact", "balanced" or "precise".
            row_bytes: bytes of detail per token instead of the level's, a multiple of 4.
            ntokens: how many vectors will be compressed; sets the number of centroids.
            seed: same seed, same vectors: same codec.
            threads: None for all cores; the result does not depend on it.
            progress: called with ``(k-means rounds done, rounds in all)``.
        """
        require_level(level)
        rng = np.random.default_rng(seed)
        size = row_bytes or level_bytes(level, vectors.shape[1])
        ncentroids = min(centroid_count(ntokens or len(vectors), 8 * size / vectors.shape[1]), len(vectors))
        order = rng.permutation(len(vectors))
        training = vectors[order[: SAMPLE_PER_CENTROID * ncentroids]]
        centroids = fit_centroids(training, ncentroids, seed=seed, threads=threads, progress=progress)
        sample = np.ascontiguousarray(vectors[np.sort(order[:DETAIL_SAMPLE])])
        rotation, variances = detail_basis(
            sample, centroids[Assigner.of(centroids, threads)(sample, threads)]
        )
        bits = allocate(variances, size)
        coded = np.arange(len(variances)) < sum(bits)
        untrained = cls(
            rotation=rotation,
            **_grouped(kernels.rotate(centroids, rotation)),
            sigma=np.where(coded, np.sqrt(variances) * kernels.LEVEL_STEP, 0).astype(np.float32),
            bits=np.array(bits, dtype=np.uint32),
            gain_borders=np.zeros((GAIN_STEPS + 1, GAIN_STEPS - 1), dtype=np.float32),
            gain_values=np.zeros((GAIN_STEPS**2, 2), dtype=np.float32),
        )
        borders, values = divide_gains(untrained.exact_gains(sample, threads))
        names = [field.name for field in fields(cls)]
        trained = {name: getattr(untrained, name) for name in names}
        return cls(**{**trained, "gain_borders": borders, "gain_values": values})

    def checked(self) -> Self:
        """Return this codec if its arrays fit together; ValueError tells what does not."""
        four, two, one = self.widths
        if four % 8 or two % 16 or one % 32 or four + two + one > self.width:
            raise ValueError(f"bits.npy holds {self.widths}, which {self.width} dimensions can't have")
        if not 1 <= self.ncentroids <= MAX_CENTROIDS:
            raise ValueError(f"centroids.npy holds {self.ncentroids} centroids")
        if len(self.heads) != len(self.head_scales) or len(self.heads) != len(self.group_lengths):
            raise ValueError("heads.npy, head_scales.npy and group_lengths.npy are of different lengths")
        if not self.group_lengths.all() or int(self.group_offsets[-1]) != self.ncentroids:
            raise ValueError(f"group_lengths.npy does not divide {self.ncentroids} centroids")
        return self

    # Vectors ---------------------------------------------------------------------------------

    def rotate(self, vectors: FloatArray) -> FloatArray:
        """f32 ``[n, dim]`` to f32 ``[n, width]``; dot products stay what they are."""
        return kernels.rotate(vectors, self.rotation)

    def compress(self, vectors: FloatArray, threads: int | None = None) -> ScaledTokens:
        """Compress f32 ``[n, dim]``."""

        def work(rows: slice) -> ScaledTokens:
            codes, residuals, gains = self._encode(vectors[rows])
            return ScaledTokens(codes, residuals, self.nearest_gains(gains))

        return join(map_threads(work, _blocks(len(vectors)), threads))

    def exact_gains(self, vectors: FloatArray, threads: int | None = None) -> FloatArray:
        """The gains f32 ``[n, 2]`` of vectors before they are rounded to the codec's table."""
        return np.concatenate(
            map_threads(lambda rows: self._encode(vectors[rows])[2], _blocks(len(vectors)), threads)
        )

    @property
    def unexplained_known(self) -> float:
        """The share of their length that the centroids left of the vectors the codec was trained on, squared.

        The table of gains divides these into parts of the same size, and so knows their mean.
        """
        return 1 - float(np.mean(self.gain_values[:, 0].astype(np.float64) ** 2))

    def unexplained(self, vectors: FloatArray, threads: int | None = None) -> float:
        """The share of their length that the centroids leave of f32 ``[n, dim]``, squared."""
        vectors = vectors[vectors.any(axis=1)]
        if not len(vectors):
            return 0.0
        gains = self.exact_gains(vectors, threads)[:, 0].astype(np.float64)
        return 1 - float(np.mean(gains**2 / np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)))

    def _encode(self, vectors: FloatArray) -> tuple[Any, Any, FloatArray]:
        rotated = self.rotate(vectors)
        codes = self.assigner(rotated, 1).astype(np.uint16)
        residuals, gains = kernels.encode_scaled(
            rotated, codes, self.centroids, self.centroid_scales, self.sigma, self.widths
        )
        return codes, residuals, gains

    def nearest_gains(self, gains: FloatArray) -> npt.NDArray[np.uint8]:
        """u8 ``[n]``: the part of the table that each pair of gains falls into."""
        first = np.searchsorted(self.gain_borders[0], gains[:, 0], side="left")
        second = (gains[:, 1:] > self.gain_borders[1 + first]).sum(axis=1)
        parts: npt.NDArray[np.uint8] = (first * GAIN_STEPS + second).astype(np.uint8)
        return parts

    def decompress(
        self, codes: npt.NDArray[np.uint16], residuals: npt.NDArray[np.uint8], gains: npt.NDArray[np.uint8]
    ) -> FloatArray:
        """Reconstruct f32 ``[n, dim]``, of length 1 up to the rounding of the gains."""
        rotated = kernels.decode_scaled(codes, residuals, gains, *self.kernel_arrays)
        return kernels.rotate(rotated, np.ascontiguousarray(self.rotation.T))

    @property
    def kernel_arrays(self) -> tuple[Any, Any, Any, Any, Any]:
        """What the kernels that score and decode ask for, in their order."""
        return self.centroids, self.centroid_scales, self.sigma, self.widths, self.gain_values

    @cached_property
    def assigner(self) -> Assigner:
        """What finds the centroid of a rotated vector."""
        if len(self.heads) == 1:
            return Assigner(self.centroids, self.centroid_scales)
        return Assigner.grouped(
            self.centroids, self.centroid_scales, self.heads, self.head_scales, self.group_offsets
        )


def require_level(level: str) -> None:
    """Raise InvalidParameter unless level is one of the named ones."""
    if level not in LEVELS:
        raise InvalidParameter(f"level must be one of {', '.join(LEVELS)}, not {level!r}")


def level_bytes(level: str, width: int) -> int:
    """Bytes of detail per token: the level's share for this width, a multiple of 4."""
    return max(4, 4 * round(LEVELS[level] * width / 128 / 4))


def centroid_count(ntokens: int, bits: float) -> int:
    """The power of two nearest to one centroid for so many tokens, at most 65,536.

    Args:
        ntokens: tokens there will be.
        bits: of detail per dimension. Where there is little detail, centroids are worth their bytes sooner.
    """
    each = TOKENS_PER_CENTROID // 2 if bits <= 1 else TOKENS_PER_CENTROID
    return min(MAX_CENTROIDS, 1 << max(0, round(math.log2(max(1.0, ntokens / each)))))


def detail_basis(vectors: FloatArray, centroids: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The basis in which what centroids do not explain is uncorrelated, largest variance first.

    Args:
        vectors: f32 ``[n, dim]``.
        centroids: f32 ``[n, dim]``, of length 1, the centroid of each vector.

    Returns:
        rotation f32 ``[dim, width]`` and variances f32 ``[width]``; columns beyond dim are zero.
    """
    detail = vectors - (vectors * centroids).sum(axis=1, keepdims=True) * centroids
    precise = detail.astype(np.float64)
    variances, basis = np.linalg.eigh(precise.T @ precise / max(1, len(detail)))
    variances, basis = variances[::-1].clip(0), basis[:, ::-1]
    dim = vectors.shape[1]
    # Eigenvectors come with either sign; the larger half points up, whatever library found them.
    basis = basis * np.where(basis[np.abs(basis).argmax(axis=0), np.arange(dim)] < 0, -1, 1)
    padding = -dim % 8
    return (
        np.pad(basis, ((0, 0), (0, padding))).astype(np.float32),
        np.pad(variances, (0, padding)).astype(np.float32),
    )


def allocate(variances: FloatArray, row_bytes: int) -> tuple[int, int, int]:
    """How many dimensions get 4, 2 and 1 bits, so that the squared error is smallest.

    Args:
        variances: f32 ``[width]``, descending.
        row_bytes: to be used at most.
    """
    gain = np.concatenate([[0.0], np.cumsum(variances, dtype=np.float64)])

    def error(four: int, two: int, one: int) -> float:
        ends = np.cumsum([0, four, two, one])
        parts = gain[ends[1:]] - gain[ends[:-1]]
        return float(gain[-1] - parts @ (1 - np.array([DISTORTION[4], DISTORTION[2], DISTORTION[1]])))

    width, units = len(variances), row_bytes // 4
    choices = [
        (8 * four, 16 * two, 32 * (units - four - two))
        for four, two in product(range(units + 1), repeat=2)
        if four + two <= units
    ]
    fitting = [_clipped(choice, width) for choice in choices if choice[0] + choice[1] <= width]
    return min(fitting, key=lambda choice: (error(*choice), choice), default=(0, 0, 0))


def _clipped(choice: tuple[int, int, int], width: int) -> tuple[int, int, int]:
    four, two, one = choice
    return four, two, min(one, (width - four - two) // 32 * 32)


def divide_gains(gains: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sixteenths of the first gain, and of the second in each: borders ``[17, 15]``, values ``[256, 2]``."""
    steps = np.arange(1, GAIN_STEPS) / GAIN_STEPS
    borders = np.empty((GAIN_STEPS + 1, GAIN_STEPS - 1), dtype=np.float32)
    values = np.empty((GAIN_STEPS, GAIN_STEPS, 2), dtype=np.float32)
    borders[0] = np.quantile(gains[:, 0], steps)
    part = np.searchsorted(borders[0], gains[:, 0], side="left")
    for number in range(GAIN_STEPS):
        own = gains[part == number] if (part == number).any() else gains
        borders[1 + number] = np.quantile(own[:, 1], steps)
        cell = np.searchsorted(borders[1 + number], own[:, 1], side="left")
        for place in range(GAIN_STEPS):
            inside = own[cell == place] if (cell == place).any() else own
            values[number, place] = inside.mean(axis=0, dtype=np.float64)
    return borders, values.reshape(-1, 2)


def join(parts: list[ScaledTokens]) -> ScaledTokens:
    """One after the other."""
    names = [field.name for field in fields(ScaledTokens)]
    return ScaledTokens(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _blocks(count: int) -> list[slice]:
    return row_blocks(count, ROWS_PER_BLOCK) or [slice(0, 0)]


def _grouped(centroids: FloatArray) -> dict[str, Any]:
    """Centroids in the order of their groups, and the groups."""
    assigner = Assigner.of(centroids)
    if assigner.heads is None or assigner.offsets is None or assigner.head_scales is None:
        heads, scales = quantise_centroids(normalise(centroids.mean(axis=0, keepdims=True)))
        return {
            "centroids": assigner.centroids,
            "centroid_scales": assigner.scales,
            "heads": heads,
            "head_scales": scales,
            "group_lengths": np.array([len(centroids)], dtype=np.uint32),
        }
    return {
        "centroids": assigner.centroids,
        "centroid_scales": assigner.scales,
        "heads": assigner.heads,
        "head_scales": assigner.head_scales,
        "group_lengths": np.diff(assigner.offsets).astype(np.uint32),
    }
