"""How a query meets segments of the scaled codec: lists through groups of centroids, int8 codes, f32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from plait import kernels
from plait.codec import ScaledCodec
from plait.search.batch import score_together
from plait.search.masks import Mask
from plait.search.params import SearchParams
from plait.search.pool import Docs, Pool, top_pools
from plait.store import Segment
from plait.types import FloatArray

#: So many times ``nprobe`` lists are ranked for each token.
DEPTH = 3
#: Children are looked for below one centroid for so many lists wanted (decision 0012).
PARENT_SHARE = 2
#: What a document can get from all query tokens together, in the whole steps that the kernel adds up.
TOTAL_GAIN = 65_000
#: Query tokens that candidates are found with, at most.
MOST_TOKENS = 65_000
#: Documents that a token's lists do not hold are thought to be so much further from it than the nearest
#: list left out, in cosine.
UNMET = np.float32(0.1)
#: Query tokens that the int8 kernels score for half the price of more, and how similar tokens are merged
#: until so few are left.
LANES = 16
COARSE = (0.85, 0.8, 0.75, 0.7, 0.6, 0.5)
#: Tokens in a list, on average, up to which documents come in good order. Where lists are longer, so many
#: times as many documents are rescored at a time (decision 0017).
LONG_LIST = 144
#: Batches of documents looked at if each changes the result.
MOST_BATCHES = 8


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

    @cached_property
    def asked(self) -> FloatArray:
        """f32 ``[at most nq, width]``: tokens that candidates are found with."""
        return self.merged[:MOST_TOKENS]

    @cached_property
    def coarse(self) -> FloatArray:
        """f32 ``[at most LANES, width]``, if tokens are that similar: what a first look scores."""
        tokens = self.merged
        for similarity in COARSE:
            if len(tokens) <= LANES:
                break
            tokens = kernels.merge_tokens(self.rotated, similarity)
        return tokens

    @cached_property
    def bonus(self) -> FloatArray:
        """f32 ``[at most nq]``: what a token adds to the score of a document for being met at all."""
        bonus: FloatArray = UNMET * np.sqrt(np.einsum("ij,ij->i", self.asked, self.asked))
        return bonus

    def candidates(self, segments: list[tuple[Segment, Mask]], params: SearchParams, k: int) -> list[Pool]:
        """The documents worth a look, over all segments of this codec; far more than need one as a rule."""
        count = max(MOST_BATCHES * params.ndocs, 2 * k)
        centroids = self.centroids(params)
        chosen = [self.lists(segment, params, centroids) for segment, _ in segments]
        unit = max(float(gains.max(axis=1).sum()) for _, gains in chosen) / TOTAL_GAIN or 1.0
        pools = []
        for (segment, mask), (lists, gains) in zip(segments, chosen, strict=True):
            ivf = segment.ivf_offsets, segment.arrays["ivf_docs"]
            steps = (gains / np.float32(unit)).astype(np.uint16)
            pools.append(Pool(segment, *kernels.gather_top(lists, steps, *ivf, mask, segment.ndocs, count)))
        return top_pools(pools, count)

    def adapted(self, segments: list[Segment], params: SearchParams) -> SearchParams:
        """The same, with more documents rescored where lists are longer than a codec is made for.

        A codec that has been outgrown puts candidates in a rough order, so that the best come later.
        """
        lists = self.codec.ncentroids
        tokens = sum(int(segment.offsets[-1]) for segment in segments if segment.child_offsets is None)
        if tokens <= LONG_LIST * lists:
            return params
        return replace(params, ndocs=round(params.ndocs * tokens / (LONG_LIST * lists)))

    @property
    def looks_twice(self) -> bool:
        """Whether ``look`` scores fewer tokens than ``rescore``."""
        return len(self.merged) > LANES

    def look(self, segment: Segment, docs: Docs) -> FloatArray:
        """MaxSim f32 ``[m]`` of documents u32 ``[m]`` with so few tokens that it costs half as much."""
        return self._maxsim(self.coarse, segment, docs)

    def centroids(self, params: SearchParams) -> tuple[npt.NDArray[np.uint32], FloatArray]:
        """The best centroids of each token: u32, f32 ``[m, DEPTH * nprobe]``."""
        codec = self.codec
        count = min(DEPTH * params.nprobe, codec.ncentroids)
        groups = np.zeros((len(self.asked), 1), dtype=np.uint32)
        if len(codec.heads) > 1:
            everything = np.array([0, len(codec.heads)], dtype=np.int64)
            most = min(params.ngroups, len(codec.heads))
            groups, _ = kernels.top_rows(self.asked, groups, everything, codec.heads, codec.head_scales, most)
        return kernels.top_rows(
            self.asked, groups, codec.group_offsets, codec.centroids, codec.centroid_scales, count
        )

    def lists(
        self, segment: Segment, params: SearchParams, centroids: tuple[npt.NDArray[np.uint32], FloatArray]
    ) -> tuple[npt.NDArray[np.uint32], FloatArray]:
        """The lists of a segment to visit for each token: of centroids, or of their children; and gains."""
        if segment.child_offsets is None:
            return most_telling(*centroids, self.bonus, params.nprobe)
        rows, scales = segment.arrays["child_centroids"], segment.arrays["child_scales"]
        count = min(DEPTH * params.nprobe, len(rows))
        parents = np.ascontiguousarray(centroids[0][:, : -(-params.nprobe // PARENT_SHARE)])
        lists, scores = kernels.top_rows(self.asked, parents, segment.child_offsets, rows, scales, count)
        return most_telling(lists, scores, self.bonus, params.nprobe)

    def rescore(self, segment: Segment, docs: Docs) -> FloatArray:
        """MaxSim f32 ``[m]`` of documents u32 ``[m]``, from their codes in int8, of the merged tokens."""
        return self._maxsim(self.merged, segment, docs)

    def refine(self, segment: Segment, docs: Docs) -> FloatArray:
        """MaxSim f32 ``[m]`` of documents u32 ``[m]`` on the reconstructed vectors, of all tokens."""
        return kernels.maxsim_decoded(self.rotated, *self.tokens(segment), segment.offsets, docs)

    def _maxsim(self, tokens: FloatArray, segment: Segment, docs: Docs) -> FloatArray:
        return kernels.maxsim_scaled(tokens, *self.tokens(segment), segment.offsets, docs)

    def tokens(self, segment: Segment) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any]:
        """What the kernels take of a segment and its codec."""
        arrays = segment.arrays
        return (arrays["codes"], arrays["residuals"], arrays["gains"], *self.codec.kernel_arrays)


def rescore_all(queries: list[ScaledQuery], segment: Segment, docs: Docs) -> list[FloatArray]:
    """``[query.rescore(segment, docs) for query in queries]``, the same bits; documents are decoded once."""
    score = partial(_score_all, kernels.maxsim_scaled_all, queries[0], segment)
    return score_together(score, [query.merged for query in queries], docs)


def refine_all(queries: list[ScaledQuery], segment: Segment, docs: Docs) -> list[FloatArray]:
    """``[query.refine(segment, docs) for query in queries]``, likewise."""
    score = partial(_score_all, kernels.maxsim_decoded_all, queries[0], segment)
    return score_together(score, [query.rotated for query in queries], docs)


def _score_all(
    kernel: Callable[..., FloatArray],
    query: ScaledQuery,
    segment: Segment,
    tokens: FloatArray,
    query_offsets: npt.NDArray[np.int64],
    docs: Docs,
) -> FloatArray:
    return kernel(tokens, query_offsets, *query.tokens(segment), segment.offsets, docs)


def most_telling(
    lists: npt.NDArray[np.uint32], scores: FloatArray, bonus: FloatArray, nprobe: int
) -> tuple[npt.NDArray[np.uint32], FloatArray]:
    """Of all tokens' lists those that stand out most from the last list of their token, and their gains.

    Tokens whose lists all score alike tell documents apart less than tokens that are near few of their
    lists; for the same work more of the best documents are found (decision 0012). Documents that a token
    does not meet are imputed ``bonus`` less than what the first list scores that is left out.

    Args:
        lists: u32 ``[nq, p]``, best first.
        scores: f32 ``[nq, p]``, -inf where there is no list.
        bonus: f32 ``[nq]``.
        nprobe: lists wanted, on average, for each token.
    """
    last = scores[:, -1:]
    if np.isneginf(last).any():
        last = np.min(scores, axis=1, keepdims=True, initial=np.inf, where=np.isfinite(scores))
    gains = scores - last
    place = max(0, gains.size - nprobe * len(gains))
    left_out = gains < max(0.0, np.partition(gains, place, axis=None)[place])
    left_out[:, 0] = False
    first = np.minimum(np.count_nonzero(~left_out, axis=1), scores.shape[1] - 1)
    imputed = np.maximum(scores[np.arange(len(scores)), first], last[:, 0]) - bonus
    gains = np.maximum(scores - imputed[:, None], 0)
    return np.where(left_out, np.uint32(kernels.NO_ROW), lists), gains
