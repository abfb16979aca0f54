"""Finer centroids below those of a codec, for the lists of one large segment.

A codec has at most 65,536 centroids. Where a segment has more than a few hundred tokens for each, its lists
would be long and say little; then every centroid gets children, found among the segment's own tokens as they
are stored. Codes stay what they are: children belong to the lists alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec.kmeans import normalise, quantise_centroids
from plait.codec.scaled import ScaledCodec
from plait.threads import map_threads, row_blocks
from plait.types import FloatArray, offsets_of

#: Tokens for each child.
TOKENS_PER_CHILD = 96
#: Children are made when a centroid has, on average, at least so many of them.
MIN_CHILDREN = 4
#: Vectors that each child is trained on, at most, and rounds of k-means.
SAMPLE_PER_CHILD, ROUNDS = 24, 4
#: The nearest child is looked for among those of the token's centroid and of the centroids nearest to that
#: one in its group, so many in all.
PARENTS_SEARCHED = 6
TOKENS_PER_BLOCK = 131_072
BLOCKS_PER_REST = 32
#: Tokens whose groups are gone through together.
TOKENS_PER_BATCH = 1 << 26

Numbers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]
#: Gives the vectors f32 ``[m, width]``, rotated, of the tokens at some places i64 ``[m]`` of those loaded.
Decode = Callable[[Numbers], FloatArray]
#: Copies what the segment holds of some tokens i64 ``[m]``, ascending, into memory.
Load = Callable[[Numbers], Decode]


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
    load: Load,
    out: Codes,
    *,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    rest: Callable[[], None] = lambda: None,
) -> Children:
    """Find children, and the child of each token.

    Groups of centroids are independent of each other; the result does not depend on ``threads``.

    Args:
        codec: whose centroids get children.
        codes: u16 ``[ntokens]``, may be memory-mapped.
        load: gives vectors.
        out: u32 ``[ntokens]``, to be filled with the child of each token.
        seed: of the choice of samples.
        threads: None for all cores.
        progress: called with ``(groups done, groups in all)``.
        rest: called now and then, when nothing of ``codes`` and ``out`` has to stay in memory.
    """
    per_code = np.zeros(codec.ncentroids, dtype=np.int64)
    for block in row_blocks(len(codes), TOKENS_PER_BATCH):
        per_code += np.bincount(codes[block], minlength=codec.ncentroids)
    counts = np.maximum(1, np.rint(per_code / TOKENS_PER_CHILD)).astype(np.int64)
    firsts = offsets_of(counts)

    def divide(
        batch: _Batch, decode: Decode, found: Codes, member: tuple[int, Numbers]
    ) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        group, places = member
        begin, end = codec.group_offsets[group : group + 2]
        family = _Family(codec, int(begin), counts[begin:end], np.random.default_rng((seed, group)))
        parents = batch.codes[places].astype(np.int64) - begin
        order = np.argsort(parents, kind="stable")
        places, parents = places[order], parents[order]
        rows, scales = family.train(places, parents, decode)
        for block in row_blocks(len(places), TOKENS_PER_BLOCK):
            nearest = family.nearest(decode(places[block]), parents[block], rows, scales)
            found[places[block]] = firsts[begin] + nearest
        return rows, scales

    parts: list[tuple[npt.NDArray[np.uint8], FloatArray]] = []
    for batch in _batches(codec, codes, per_code):
        decode, found = load(batch.tokens), np.empty(len(batch.tokens), dtype=np.uint32)
        parts += map_threads(partial(divide, batch, decode, found), batch.members, threads)
        for number, block in enumerate(row_blocks(len(batch.tokens), TOKENS_PER_BLOCK)):
            out[batch.tokens[block]] = found[block]
            if number % BLOCKS_PER_REST == 0:
                rest()
        rest()
        if progress:
            progress(len(parts), len(codec.heads))
    return Children(
        np.concatenate([rows for rows, _ in parts]),
        np.concatenate([scales for _, scales in parts]),
        counts.astype(np.uint32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """All tokens i64 ``[m]`` of some groups, ascending, their codes u16 ``[m]``, and places per group."""

    tokens: Numbers
    codes: npt.NDArray[np.uint16]
    members: list[tuple[int, Numbers]]


def _batches(codec: ScaledCodec, codes: npt.NDArray[np.uint16], per_code: Numbers) -> Iterator[_Batch]:
    """Groups of centroids, so many at a time that their tokens fit into memory."""
    group_of = np.repeat(np.arange(len(codec.heads)), codec.group_lengths).astype(np.uint16)
    sizes = np.bincount(group_of, weights=per_code).astype(np.int64)
    batch = (np.cumsum(sizes) - sizes) // TOKENS_PER_BATCH
    for number in np.unique(batch):
        groups = np.flatnonzero(batch == number)
        first, last = codec.group_offsets[groups[0]], codec.group_offsets[groups[-1] + 1]
        tokens = [
            rows.start + np.flatnonzero((codes[rows] >= first) & (codes[rows] < last))
            for rows in row_blocks(len(codes), TOKENS_PER_BLOCK)
        ]
        chosen = np.concatenate([np.empty(0, dtype=np.int64), *tokens])
        mine = codes[chosen]
        order = np.argsort(group_of[mine], kind="stable")
        members = np.split(order, np.cumsum(sizes[groups])[:-1])
        yield _Batch(chosen, mine, list(zip(groups.tolist(), members, strict=True)))


class _Family:
    """The children of one group of centroids; these are numbered from 0 within the group."""

    def __init__(self, codec: ScaledCodec, first: int, counts: Numbers, rng: np.random.Generator) -> None:
        own = slice(first, first + len(counts))
        self.counts = counts
        self.rng = rng
        self.parents = codec.centroids[own].astype(np.float32) - kernels.CENTROID_ZERO
        self.scales = codec.centroid_scales[own]
        offsets = offsets_of(counts)
        self.offsets = offsets
        #: For each centroid the children that its tokens may have, ascending.
        self.choices = [
            np.concatenate([np.arange(*offsets[parent : parent + 2]) for parent in np.sort(near)])
            for near in self._near()
        ]

    def _near(self) -> Numbers:
        """i64 ``[ncentroids, at most PARENTS_SEARCHED]``: each centroid itself and those nearest to it."""
        # Sums of products of whole numbers below 2**24: exact, in whatever order they are added.
        cosines = self.parents @ self.parents.T * self.scales
        np.fill_diagonal(cosines, np.inf)
        return np.argsort(-cosines, axis=1, kind="stable")[:, :PARENTS_SEARCHED]

    def train(
        self, tokens: Numbers, parents: Numbers, decode: Decode
    ) -> tuple[npt.NDArray[np.uint8], FloatArray]:
        """k-means that begins with random members of each centroid.

        Args:
            tokens: places i64 ``[n]`` of the group's tokens, in the order of their centroids.
            parents: i64 ``[n]``, these centroids.
            decode: gives vectors.
        """
        total = int(self.counts.sum())
        most = SAMPLE_PER_CHILD * total
        if len(tokens) > most:
            chosen = np.sort(self.rng.choice(len(tokens), most, replace=False))
            tokens, parents = tokens[chosen], parents[chosen]
        vectors = decode(tokens)
        children = self._begin(vectors, parents)
        for _ in range(ROUNDS):
            rows, scales = quantise_centroids(children)
            sums, sizes = kernels.sum_by_centroid(
                vectors, self.nearest(vectors, parents, rows, scales), total
            )
            # A child that nobody chose stays where it is.
            children = normalise(np.where(sizes[:, None] > 0, sums, children).astype(np.float32))
        return quantise_centroids(children)

    def _begin(self, vectors: FloatArray, parents: Numbers) -> FloatArray:
        """Members of each centroid at random, or itself where it has too few: f32 ``[nchildren, width]``."""
        children = np.repeat(self.parents * self.scales[:, None], self.counts, axis=0)
        order = self.rng.permutation(len(vectors))
        order = order[np.argsort(parents[order], kind="stable")]
        sizes = np.bincount(parents, minlength=len(self.counts))
        rank = np.arange(len(order)) - np.repeat(offsets_of(sizes)[:-1], sizes)
        taken = rank < np.repeat(self.counts, sizes)
        children[(self.offsets[parents[order]] + rank)[taken]] = vectors[order[taken]]
        return normalise(children)

    def nearest(
        self, vectors: FloatArray, parents: Numbers, rows: npt.NDArray[np.uint8], scales: FloatArray
    ) -> npt.NDArray[np.uint32]:
        """u32 ``[n]``: the nearest child that each vector may have; ``parents`` i64 ``[n]`` ascends."""
        found = np.empty(len(vectors), dtype=np.uint32)
        bounds = np.searchsorted(parents, np.arange(len(self.counts) + 1))
        for parent in np.flatnonzero(np.diff(bounds)):
            own, choice = slice(*bounds[parent : parent + 2]), self.choices[parent]
            found[own] = choice[kernels.assign(vectors[own], rows[choice], scales[choice])]
        return found
