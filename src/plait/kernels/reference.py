"""Every kernel in plain NumPy: the specification that the native code is tested against.

Words used throughout:

* ``lanes``: the number of query tokens rounded up to a multiple of 16. Integer tables have one
  column per lane; the columns beyond the query's own tokens are zero and have weight zero.
* ``offsets`` i64 ``[n + 1]``: document ``j`` owns the token rows ``offsets[j]:offsets[j + 1]``.
* ``docs`` u32 ``[m]``: which documents of a segment to score, in the order of the answer.

The integer kernels are exact, and their few float operations are single IEEE operations in a stated
order, so the native code gives the same bits on every instruction set, and so does this module.
``decompress`` and ``inverse_norms`` work in f32 in a stated order and are the same bits as well.
``maxsim`` uses fused multiply-adds, which NumPy lacks: native results are the same bits on every
instruction set, and agree with this module to a relative 1e-5.

Residual codes are packed as in ColBERTv2 (Santhanam et al. 2022, and the ``colbert-ai`` code):
bit ``j`` (least significant first) of dimension ``d``'s bucket is bit ``7 - (p & 7)`` of byte
``p >> 3`` where ``p = d * nbits + j``. A row has ``ceil(dim * nbits / 8)`` bytes.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
F32: TypeAlias = npt.NDArray[np.float32]

LANE_BLOCK = 16
#: Zero point of the unsigned residual levels (7 bits, or 8 bits when nbits is 8).
LEVEL_ZERO = {1: 64, 2: 64, 4: 64, 8: 128}
#: Zero point of unsigned int8 centroids.
CENTROID_ZERO = 128


def lanes_of(nq: int) -> int:
    """Number of query tokens, rounded up to whole blocks of 16."""
    return max(1, -(-nq // LANE_BLOCK)) * LANE_BLOCK


def maxsim(query: F32, vectors: F32, offsets: Array, docs: Array) -> F32:
    """Exact MaxSim (Khattab & Zaharia 2020, eq. 3) of one query with ragged documents.

    Args:
        query: f32 ``[nq, dim]``.
        vectors: f32 ``[ntokens, dim]``.
        offsets: i64 ``[n + 1]``.
        docs: u32 ``[m]``.

    Returns:
        f32 ``[m]``: sum over query tokens of the largest dot product with a token of the document;
        -inf for a document without tokens. Native order: each dot product is one chain of fused
        multiply-adds in ascending dimension; the maxima are summed by ``sum_lanes`` order.
    """
    scores = np.full(len(docs), -np.inf, dtype=np.float32)
    for position, doc in enumerate(docs):
        rows = vectors[offsets[doc] : offsets[doc + 1]]
        if len(rows):
            scores[position] = (query @ rows.T).max(axis=1).sum()
    return scores


def sum_lanes(values: F32) -> F32:
    """Sum f32 ``[..., lanes]`` in the order that the native code uses.

    Blocks of 16 lanes are added in ascending order into 16 partial sums; these are halved
    ``x[i] + x[i + 8]``, then ``+ 4``, ``+ 2``, ``+ 1``.
    """
    blocks = values.reshape(*values.shape[:-1], values.shape[-1] // LANE_BLOCK, LANE_BLOCK).astype(np.float32)
    partial = blocks[..., 0, :]
    for block in range(1, blocks.shape[-2]):
        partial = partial + blocks[..., block, :]
    for half in (8, 4, 2, 1):
        partial = partial[..., :half] + partial[..., half : 2 * half]
    return np.asarray(partial[..., 0], dtype=np.float32)


def bucket_table(nbits: int) -> npt.NDArray[np.uint8]:
    """u8 ``[256, 8 // nbits]``: the buckets held by each byte, first dimension first."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)  # [256, 8], MSB first
    groups = bits.reshape(256, 8 // nbits, nbits)
    weights = (1 << np.arange(nbits)).astype(np.uint8)  # the first bit met is the least significant
    table: npt.NDArray[np.uint8] = (groups * weights).sum(axis=2).astype(np.uint8)
    return table


def unpack(residuals: Array, dim: int, nbits: int) -> npt.NDArray[np.uint8]:
    """u8 ``[ntokens, dim]`` bucket numbers from packed rows u8 ``[ntokens, ceil(dim*nbits/8)]``."""
    width = residuals.shape[1] * (8 // nbits)
    return bucket_table(nbits)[residuals].reshape(len(residuals), width)[:, :dim]


def pack(buckets: Array, nbits: int) -> npt.NDArray[np.uint8]:
    """The reverse of ``unpack``; unused bits of the last byte are zero."""
    bits = (buckets[:, :, None] >> np.arange(nbits)) & 1  # [ntokens, dim, nbits], LSB first
    return np.packbits(bits.reshape(len(buckets), buckets.shape[1] * nbits).astype(np.uint8), axis=1)


def compress(vectors: F32, centroids: F32, codes: Array, cutoffs: F32, nbits: int) -> Array:
    """Quantise the residual ``vectors - centroids[codes]`` (ColBERTv2, section 3.3).

    Args:
        vectors: f32 ``[ntokens, dim]``.
        centroids: f32 ``[ncentroids, dim]``.
        codes: u32 ``[ntokens]``, the centroid of each vector.
        cutoffs: f32 ``[2**nbits - 1]``, ascending bucket borders; a value equal to a border falls
            into the lower bucket.
        nbits: 1, 2, 4 or 8.

    Returns:
        u8 ``[ntokens, ceil(dim * nbits / 8)]``.
    """
    residuals = vectors - centroids[codes]
    return pack(np.searchsorted(cutoffs, residuals, side="left").astype(np.uint8), nbits)


def decompress(codes: Array, residuals: Array, centroids: F32, weights: F32, nbits: int) -> F32:
    """Reconstruct token vectors: ``normalise(centroids[code] + weights[bucket])``.

    Args:
        codes: u32 ``[ntokens]``.
        residuals: u8 ``[ntokens, ceil(dim * nbits / 8)]``.
        centroids: f32 ``[ncentroids, dim]``.
        weights: f32 ``[2**nbits]``.
        nbits: 1, 2, 4 or 8.

    Returns:
        f32 ``[ntokens, dim]`` of length 1 (a zero vector stays zero). Native order of the squared
        norm: 16 partial sums over ``dim`` (dimension ``d`` goes to partial ``d % 16``, products
        rounded before they are added), joined as in ``sum_lanes``; then one square root, one
        division ``1 / norm`` and one multiplication per component.
    """
    vectors, inverse = _reconstruct(codes, residuals, centroids, weights, nbits)
    return np.asarray(vectors * inverse[:, None], dtype=np.float32)


def _reconstruct(codes: Array, residuals: Array, centroids: F32, weights: F32, nbits: int) -> tuple[F32, F32]:
    """``centroids[code] + weights[bucket]`` and the inverse norm of each, 0 for a zero vector."""
    vectors = centroids[codes] + weights[unpack(residuals, centroids.shape[1], nbits)]
    padding = -vectors.shape[1] % LANE_BLOCK
    norms = np.sqrt(sum_lanes(np.pad(vectors * vectors, ((0, 0), (0, padding)))))
    return vectors, np.divide(np.float32(1), norms, out=np.zeros_like(norms), where=norms > 0)


def inverse_norms(
    codes: Array, residuals: Array, centroids: F32, weights: F32, nbits: int
) -> npt.NDArray[np.float16]:
    """f16 ``[ntokens]``: ``1 / ||centroids[code] + weights[bucket]||`` (0 for a zero vector)."""
    return _reconstruct(codes, residuals, centroids, weights, nbits)[1].astype(np.float16)


def assign(vectors: F32, centroids8: Array, scales: F32) -> npt.NDArray[np.uint32]:
    """Nearest centroid by dot product, in int8.

    Args:
        vectors: f32 ``[n, dim]``. Each is scaled so that its largest component is +-127 and rounded
            to the nearest even (``rint(v * (127 / max|v|))`` in f32); a zero vector stays zero.
        centroids8: u8 ``[ncentroids, dim]``, ``rint(c / scale) + 128``.
        scales: f32 ``[ncentroids]``.

    Returns:
        u32 ``[n]``: the first centroid with the largest ``f32(integer dot) * scale``.
    """
    quantised = quantise_rows(vectors)[0].astype(np.int32)
    rows = centroids8.astype(np.int32) - CENTROID_ZERO
    best = np.empty(len(vectors), dtype=np.uint32)
    for start in range(0, len(vectors), 1024):
        dots = (quantised[start : start + 1024] @ rows.T).astype(np.float32)
        best[start : start + 1024] = (dots * scales).argmax(axis=1)
    return best


def assign_grouped(
    vectors: F32,
    heads8: Array,
    head_scale: F32,
    centroids8: Array,
    scales: F32,
    group_offsets: Array,
    nprobe: int,
    margin: float,
) -> npt.NDArray[np.uint32]:
    """Nearest centroid among the groups whose heads are nearest, in int8.

    Args:
        vectors: f32 ``[n, dim]``, quantised as in ``assign``.
        heads8: u8 ``[ngroups, dim]``, one vector for each group, zero point 128.
        head_scale: f32 ``[ngroups]``, ``row_scale`` of ``centroid_scores`` for the heads.
        centroids8: u8 ``[ncentroids, dim]``, group by group.
        scales: f32 ``[ncentroids]``.
        group_offsets: i64 ``[ngroups + 1]``: group ``g`` owns ``centroids8[offsets[g]:offsets[g + 1]]``,
            at least one.
        nprobe: groups searched for each vector at most: those of ``top_centroids`` of the heads' table.
        margin: of them only those that the table has at most this, times the length of the quantised vector,
            below the best; infinity leaves none out.

    Returns:
        u32 ``[n]``: the first centroid of those groups with the largest ``f32(integer dot) * scale``.
    """
    rows = centroids8.astype(np.int32) - CENTROID_ZERO
    group = np.repeat(np.arange(len(heads8)), np.diff(group_offsets))
    best = np.empty(len(vectors), dtype=np.uint32)
    for start in range(0, len(vectors), 1024):
        quantised = quantise_rows(vectors[start : start + 1024])[0]
        table = centroid_scores(quantised, heads8, head_scale)
        searched = np.zeros((len(quantised), len(heads8)), dtype=bool)
        probes = top_centroids(table, len(quantised), nprobe).astype(np.int64)
        np.put_along_axis(searched, probes, True, axis=1)
        own = table[:, : len(quantised)].T
        length = np.sqrt((quantised.astype(np.int32) ** 2).sum(axis=1, dtype=np.int32).astype(np.float32))
        searched &= own >= (own.max(axis=1) - np.float32(margin) * length)[:, None]
        scores = (quantised.astype(np.int32) @ rows.T).astype(np.float32) * scales
        best[start : start + 1024] = np.where(searched[:, group], scores, -np.inf).argmax(axis=1)
    return best


def quantise_rows(vectors: F32) -> tuple[npt.NDArray[np.int8], F32]:
    """Symmetric int8 rows: ``(i8 [n, dim], f32 [n])`` with ``vectors ~ rows * scale[:, None]``."""
    largest = np.abs(vectors).max(axis=1, initial=0.0).astype(np.float32)
    up = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > 0)
    return np.rint(vectors * up[:, None]).astype(np.int8), largest / np.float32(127)


def sum_by_centroid(vectors: F32, codes: Array, ncentroids: int) -> tuple[Array, Array]:
    """Sums f64 ``[ncentroids, dim]`` and counts i64 ``[ncentroids]`` of the vectors of each code.

    Rows are added one after the other in ascending order.
    """
    sums = np.zeros((ncentroids, vectors.shape[1]), dtype=np.float64)
    np.add.at(sums, codes, vectors.astype(np.float64))
    return sums, np.bincount(codes, minlength=ncentroids).astype(np.int64)


def centroid_scores(query8: Array, centroids8: Array, row_scale: F32) -> npt.NDArray[np.int16]:
    """Dot products of a query with all centroids, as a table of i16.

    Args:
        query8: i8 ``[nq, dim]``.
        centroids8: u8 ``[ncentroids, dim]``, zero point 128.
        row_scale: f32 ``[ncentroids]``.

    Returns:
        i16 ``[ncentroids, lanes]``: ``rint(f32(integer dot) * row_scale)``, clipped to i16.
    """
    rows = centroids8.astype(np.int32) - CENTROID_ZERO
    dots = (rows @ query8.astype(np.int32).T).astype(np.float32)
    table = np.zeros((len(rows), lanes_of(len(query8))), dtype=np.int16)
    table[:, : len(query8)] = np.clip(np.rint(dots * row_scale[:, None]), -32768, 32767)
    return table


def top_centroids(table: Array, nq: int, nprobe: int) -> npt.NDArray[np.uint32]:
    """u32 ``[nq, nprobe]``: per query token the best centroids, best first, ties by lower id.

    ``nprobe`` is at most the number of centroids.
    """
    order = np.argsort(-table[:, :nq].astype(np.int32), axis=0, kind="stable")
    return np.ascontiguousarray(order[:nprobe].T.astype(np.uint32))


def gather(
    table: Array,
    probes: Array,
    lane_weights: F32,
    ivf_offsets: Array,
    ivf_pids: Array,
    allowed: Array | None,
    ndocs: int,
) -> tuple[npt.NDArray[np.uint32], F32]:
    """Documents in the lists of the probed centroids, scored by what the lists show.

    For each query token the lists are visited best first. The first time a document is met for
    a token, ``f32(s - m) * lane_weights[token]`` is added to its score, where ``s`` is the table's
    value of the list's centroid and ``m`` that of the token's last probe, whose list is visited
    too: the imputed score of documents that were not met (WARP, Scheerer et al. 2025, section 4.2).

    Args:
        table: i16 ``[ncentroids, lanes]``.
        probes: u32 ``[nq, nprobe]``, best first.
        lane_weights: f32 ``[lanes]``.
        ivf_offsets: i64 ``[ncentroids + 1]``.
        ivf_pids: u32, the documents of each list, ascending and unique within the list.
        allowed: u8 ``[ndocs]``, 0 for documents that must not be met; None allows all.
        ndocs: documents in the segment.

    Returns:
        ``(docs, scores)``: u32 and f32 ``[m]``, ascending by document. Sums run in order of tokens.
    """
    scores = np.zeros(ndocs, dtype=np.float32)
    met = np.zeros(ndocs, dtype=bool)
    for token, lists in enumerate(probes):
        seen = np.zeros(ndocs, dtype=bool)
        floor = int(table[lists[-1], token])
        for centroid in lists:
            docs = ivf_pids[ivf_offsets[centroid] : ivf_offsets[centroid + 1]]
            docs = docs[~seen[docs]]
            if allowed is not None:
                docs = docs[allowed[docs] != 0]
            seen[docs] = True
            scores[docs] += np.float32(int(table[centroid, token]) - floor) * lane_weights[token]
        met |= seen
    docs = np.flatnonzero(met).astype(np.uint32)
    return docs, scores[docs]


def approximate(table: Array, lane_weights: F32, codes: Array, offsets: Array, docs: Array) -> F32:
    """MaxSim with every token replaced by its centroid (PLAID, Santhanam et al. 2022, 4.2).

    Args:
        table: i16 ``[ncentroids, lanes]``.
        lane_weights: f32 ``[lanes]``.
        codes: u32 ``[ntokens]``.
        offsets: i64 ``[n + 1]``.
        docs: u32 ``[m]``.

    Returns:
        f32 ``[m]``: ``sum_lanes(f32(max) * lane_weights)``; -inf for a document without tokens.
    """
    scores = np.full(len(docs), -np.inf, dtype=np.float32)
    for position, doc in enumerate(docs):
        rows = codes[offsets[doc] : offsets[doc + 1]]
        if len(rows):
            scores[position] = sum_lanes(table[rows].max(axis=0).astype(np.float32) * lane_weights)
    return scores


def maxsim_codes(
    query8: Array,
    lane_weights: F32,
    table: Array,
    shift: int,
    levels: Array,
    nbits: int,
    codes: Array,
    residuals: Array,
    scales: Array,
    offsets: Array,
    docs: Array,
) -> F32:
    """MaxSim straight from residual codes, in int8.

    With the query quantised as ``q8 * qscale`` and the bucket weights as
    ``(levels - zero) * level_scale``, the score of a token is
    ``(q . centroid + q . residual) * scale`` and ``q . centroid`` is taken from the table, whose
    values are in units of ``qscale * level_scale * 2**shift``.

    Args:
        query8: i8 ``[nq, dim]``.
        lane_weights: f32 ``[lanes]``, ``qscale * level_scale`` of each token.
        table: i16 ``[ncentroids, lanes]`` from ``centroid_scores``.
        shift: 0..15.
        levels: u8 ``[2**nbits]``, zero point ``LEVEL_ZERO[nbits]``; below 128 unless nbits is 8.
        nbits: 1, 2, 4 or 8.
        codes: u32 ``[ntokens]``.
        residuals: u8 ``[ntokens, ceil(dim * nbits / 8)]``.
        scales: f16 ``[ntokens]``, from ``inverse_norms``.
        offsets: i64 ``[n + 1]``.
        docs: u32 ``[m]``.

    Returns:
        f32 ``[m]``: ``sum_lanes(max over tokens(f32(integer) * f32(scale)) * lane_weights)``;
        -inf for a document without tokens.
    """
    query = np.zeros((table.shape[1], query8.shape[1]), dtype=np.int32)
    query[: len(query8)] = query8
    scores = np.full(len(docs), -np.inf, dtype=np.float32)
    for position, doc in enumerate(docs):
        rows = slice(int(offsets[doc]), int(offsets[doc + 1]))
        if rows.start == rows.stop:
            continue
        buckets = unpack(residuals[rows], query.shape[1], nbits)
        values = levels[buckets].astype(np.int32) - LEVEL_ZERO[nbits]
        dots = values @ query.T + (table[codes[rows]].astype(np.int32) << shift)  # [tokens, lanes]
        best = (dots.astype(np.float32) * scales[rows].astype(np.float32)[:, None]).max(axis=0)
        scores[position] = sum_lanes(best * lane_weights)
    return scores


def top_k(scores: F32, k: int) -> npt.NDArray[np.int64]:
    """i64 ``[min(k, n)]``: positions of the largest scores, best first, ties by lower position.

    Scores are never NaN; -inf is allowed.
    """
    return np.argsort(-scores, kind="stable")[:k].astype(np.int64)
