"""Finer centroids below those of a codec, for the lists of one large segment.

A codec has at most 65,536 centroids. Where a segment has more than a few hundred tokens for each, its lists
would be long and say little; then every centroid gets children, found among the segment's own tokens as they
are stored. Codes stay what they are: children belong to the lists alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec.kmeans import Assigner, normalise, quantise_centroids
from plait.codec.scaled import ScaledCodec
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray, offsets_of

#: Tokens for each child.
TOKENS_PER_CHILD = 192
#: Children are made when a centroid has, on average, at least so many of them.
MIN_CHILDREN = 4
#: Vectors that each child is trained on, at most, and rounds of k-means.
SAMPLE_PER_CHILD, ROUNDS = 24, 3
#: Centroids of a group whose children are searched for the nearest one.
PARENTS_SEARCHED = 3
TOKENS_PER_BLOCK = 131_072
#: Tokens whose groups are gone through together.
TOKENS_PER_BATCH = 33_554_432

#: Gives the vectors f32 ``[m, width]``, rotated, of some tokens of the segment i64 ``[m]``.
Decode = Callable[[npt.NDArray[np.int64]], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Children:
    """The finer centroids of a segment.

    Attributes:
        rows: u8 ``[nchildren, width]`` around 128, the children of each centroid together.
        scales: f32 ``[nchildren]``.
        counts: u32 ``[ncentroids]``, children of each centroid, at least 1.
    """

    rows: npt.NDArray[np.uint8]
    scales: FloatArray
    counts: npt.NDArray[np.uint32]


def worthwhile(codec: ScaledCodec, ntokens: int) -> bool:
    """Whether a segment of so many tokens should have children."""
    return ntokens >= MIN_CHILDREN * TOKENS_PER_CHILD * codec.ncentroids


def subdivide(
    codec: ScaledCodec,
    codes: npt.NDArray[np.uint16],
    decode: Decode,
    out: npt.NDArray[np.uint32],
    *,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Children:
    """Find children, and the child of each token.

    Groups of centroids are independent of each other; the result does not depend on ``threads``.

    Args:
        codec: whose centroids get children.
        codes: u16 ``[ntokens]``, may be memory-mapped.
        decode: gives vectors.
        out: u32 ``[ntokens]``, to be filled with the child of each token.
        seed: of the choice of samples.
        threads: None for all cores.
        progress: called with ``(groups done, groups in all)``.
    """
    per_code = np.bincount(codes, minlength=codec.ncentroids)
    counts = np.maximum(1, np.rint(per_code / TOKENS_PER_CHILD)).astype(np.int64)
    firsts = offsets_of(counts)

    def work(group: int, tokens: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        begin, end = codec.group_offsets[group : group + 2]
        family = _Family(codec, int(begin), counts[begin:end], np.random.default_rng((seed, group)))
        rows, scales = family.train(tokens, codes, decode)
        for block in row_blocks(len(tokens), TOKENS_PER_BLOCK):
            out[tokens[block]] = firsts[begin] + family.nearest(decode(tokens[block]), rows, scales)
        return rows, scales

    parts: list[tuple[npt.NDArray[np.uint8], FloatArray]] = []
    for groups, members in _batches(codec, codes, per_code):
        parts += map_threads(lambda pair: work(*pair), zip(groups, members, strict=True), threads)
        if progress:
            progress(len(parts), len(codec.heads))
    return Children(
        np.concatenate([rows for rows, _ in parts]),
        np.concatenate([scales for _, scales in parts]),
        counts.astype(np.uint32),
    )


def _batches(
    codec: ScaledCodec, codes: npt.NDArray[np.uint16], per_code: npt.NDArray[np.int64]
) -> Iterator[tuple[list[int], list[npt.NDArray[np.int64]]]]:
    """Groups with the tokens of each, ascending; so many at a time that their numbers fit into memory."""
    group_of = np.repeat(np.arange(len(codec.heads)), codec.group_lengths).astype(np.uint16)
    sizes = np.bincount(group_of, weights=per_code).astype(np.int64)
    batch = (np.cumsum(sizes) - sizes) // TOKENS_PER_BATCH
    for number in range(int(batch[-1]) + 1):
        groups = np.flatnonzero(batch == number)
        if not len(groups):
            continue
        first, last = codec.group_offsets[groups[0]], codec.group_offsets[groups[-1] + 1]
        tokens = np.concatenate(
            [
                rows.start + np.flatnonzero((codes[rows] >= first) & (codes[rows] < last))
                for rows in row_blocks(len(codes), TOKENS_PER_BATCH)
            ]
        )
        tokens = tokens[np.argsort(group_of[codes[tokens]], kind="stable")]
        yield groups.tolist(), np.split(tokens, np.cumsum(sizes[groups])[:-1])


class _Family:
    """The children of one group of centroids."""

    def __init__(
        self, codec: ScaledCodec, first: int, counts: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> None:
        parents = slice(first, first + len(counts))
        self.first = first
        self.counts = counts
        self.rng = rng
        self.parents = codec.centroids[parents]
        self.parent_scales = codec.centroid_scales[parents]
        self.offsets = offsets_of(counts)

    def train(
        self, tokens: npt.NDArray[np.int64], codes: npt.NDArray[np.uint16], decode: Decode
    ) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        """k-means that begins with random members of each centroid."""
        total = int(self.counts.sum())
        most = SAMPLE_PER_CHILD * total
        chosen = tokens if len(tokens) <= most else np.sort(self.rng.choice(tokens, most, replace=False))
        vectors = decode(chosen)
        children = self._begin(vectors, codes[chosen].astype(np.int64) - self.first)
        for _ in range(ROUNDS):
            rows, scales = quantise_centroids(children)
            sums, sizes = kernels.sum_by_centroid(vectors, self.nearest(vectors, rows, scales), total)
            # A child that nobody chose stays where it is.
            children = normalise(np.where(sizes[:, None] > 0, sums, children).astype(np.float32))
        return quantise_centroids(children)

    def _begin(self, vectors: FloatArray, parents: npt.NDArray[np.int64]) -> FloatArray:
        """Members of each centroid at random, or itself where it has too few: f32 ``[nchildren, width]``."""
        scaled = (self.parents.astype(np.float32) - kernels.CENTROID_ZERO) * self.parent_scales[:, None]
        children = np.repeat(scaled, self.counts, axis=0)
        order = self.rng.permutation(len(vectors))
        order = order[np.argsort(parents[order], kind="stable")]
        sizes = np.bincount(parents, minlength=len(self.counts))
        rank = np.arange(len(order)) - np.repeat(offsets_of(sizes)[:-1], sizes)
        chosen = order[rank < np.repeat(self.counts, sizes)]
        places = self.offsets[parents[order]] + rank
        children[places[rank < np.repeat(self.counts, sizes)]] = vectors[chosen]
        return normalise(children)

    def nearest(
        self, vectors: FloatArray, rows: npt.NDArray[np.uint8], scales: FloatArray
    ) -> npt.NDArray[np.uint32]:
        """u32 ``[n]``: the nearest child of the nearest few centroids of the group."""
        assigner = Assigner.grouped(rows, scales, self.parents, self.parent_scales, self.offsets)
        return assigner(vectors, 1, min(PARENTS_SEARCHED, len(self.counts)))
