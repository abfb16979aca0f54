"""Kernels of the scaled codec and of its lists, in plain NumPy: their specification (see ``reference``).

A token of the scaled codec is a centroid, two gains and a few bits per dimension (``codec/scaled.py``)::

    vector = gain_values[gain, 0] * centroid + gain_values[gain, 1] * (sigma * level)

in the codec's rotated space of ``width`` dimensions, a multiple of 8. ``bits`` is ``(n4, n2, n1)``: the first
``n4`` dimensions (a multiple of 8) have 4 bits, the next ``n2`` (of 16) have 2, the next ``n1`` (of 32)
have 1, and the rest have none: their level is 0. A row has ``n4 / 2 + n2 / 4 + n1 / 8`` bytes, the three
parts one after the other, each packed as ``pack`` packs.

Centroids are i8 rows around 128 with a scale each: ``centroid = (centroids8 - 128) * centroid_scales``.

Every float operation is a single IEEE operation on f32 in the order stated, so the native code gives the
same bits on every instruction set, and so does this module; ``maxsim_decoded`` alone uses fused
multiply-adds, like ``maxsim``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from plait.kernels.reference import (
    CENTROID_ZERO,
    LANE_BLOCK,
    lanes_of,
    maxsim,
    pack,
    quantise_rows,
    sum_lanes,
    unpack,
)

Array: TypeAlias = npt.NDArray[Any]
F32: TypeAlias = npt.NDArray[np.float32]
Bits: TypeAlias = tuple[int, int, int]

#: Levels of a Gaussian of standard deviation 1 (Max 1960, table 1), in steps of 2.7326 / 63.
LEVELS4 = (-63, -48, -37, -29, -22, -15, -9, -3, 3, 9, 15, 22, 29, 37, 48, 63)
LEVELS2 = (-35, -10, 10, 35)
LEVELS1 = (-18, 18)
LEVEL_STEP = 2.7326 / 63
#: No list: what fills up the answer of ``top_rows``.
NO_ROW = 0xFFFFFFFF


def row_bytes(bits: Bits) -> int:
    """Bytes of a packed row."""
    return bits[0] // 2 + bits[1] // 4 + bits[2] // 8


def _parts(bits: Bits) -> list[tuple[slice, slice, int, npt.NDArray[np.float32]]]:
    """Dimensions, bytes, bits and levels of each part of a row."""
    parts = []
    dim = byte = 0
    for count, nbits, levels in zip(bits, (4, 2, 1), (LEVELS4, LEVELS2, LEVELS1), strict=True):
        size = count * nbits // 8
        parts.append(
            (
                slice(dim, dim + count),
                slice(byte, byte + size),
                nbits,
                np.array(levels, dtype=np.float32),
            )
        )
        dim, byte = dim + count, byte + size
    return parts


def levels_of(rows: Array, width: int, bits: Bits) -> F32:
    """f32 ``[n, width]``: the level of every dimension, a small whole number; 0 where there are no bits."""
    levels = np.zeros((len(rows), width), dtype=np.float32)
    for dims, columns, nbits, values in _parts(bits):
        levels[:, dims] = values[unpack(rows[:, columns], dims.stop - dims.start, nbits)]
    return levels


def centroids_of(codes: Array, centroids8: Array, centroid_scales: F32) -> F32:
    """f32 ``[n, width]``: the centroid of each code."""
    rows = centroids8[codes].astype(np.float32) - np.float32(CENTROID_ZERO)
    return np.asarray(rows * centroid_scales[codes][:, None], dtype=np.float32)


def dots(a: F32, b: F32) -> F32:
    """Row by row dot products f32 ``[n]``: rounded products, added in the order of ``sum_lanes``.

    Rows are padded with zeros to whole blocks of 16.
    """
    padding = -a.shape[1] % LANE_BLOCK
    return sum_lanes(np.pad(a * b, ((0, 0), (0, padding))))


def rotate(vectors: F32, rotation: F32) -> F32:
    """``vectors @ rotation``: f32 ``[n, dim]`` times f32 ``[dim, width]``.

    Natively each value is one chain of fused multiply-adds in ascending dimension, so that the same vectors
    become the same bits on every machine; this twin agrees to a relative 1e-5.
    """
    return np.asarray(vectors @ rotation, dtype=np.float32)


def encode_scaled(
    vectors: F32,
    codes: Array,
    centroids8: Array,
    centroid_scales: F32,
    sigma: F32,
    bits: Bits,
) -> tuple[npt.NDArray[np.uint8], F32]:
    """Bits and gains of vectors.

    With ``c`` the centroid, ``along = dots(v, c)`` and ``z = v - along * c``: the part of the vector that
    its centroid, of length 1, does not explain. ``y = z / sigma`` (0 where sigma is 0) is divided by its root
    mean square over the dimensions that have bits (``sqrt(dots(y, y) * (1 / count))``) and by
    ``LEVEL_STEP``, and each component goes to the nearest level, of two equally near ones to the lower.

    With ``w = sigma * level``, the gains are the ``(a, b)`` that bring ``a * c + b * w`` nearest to ``v``,
    both then divided by the length of that sum. The system of two equations is solved in f64 from the f32 dot
    products ``cc, ww, cw, vc, vw``. Where its determinant is not above ``1e-12 * cc * ww`` there is only
    one direction, of ``c``, or of ``w`` if cc is 0: the gains are ``(1 / sqrt(cc), 0)`` or
    ``(0, 1 / sqrt(ww))`` with the sign of ``vc`` or ``vw``, and (0, 0) if there is none.

    Args:
        vectors: f32 ``[n, width]``, rotated.
        codes: u16 ``[n]``.
        centroids8: u8 ``[ncentroids, width]``.
        centroid_scales: f32 ``[ncentroids]``.
        sigma: f32 ``[width]``, at least 0: what one step of the levels is worth (``LEVEL_STEP`` is in it).
        bits: dimensions of 4, 2 and 1 bits.

    Returns:
        u8 ``[n, row_bytes(bits)]`` and the gains f32 ``[n, 2]``.
    """
    width = vectors.shape[1]
    c = centroids_of(codes, centroids8, centroid_scales)
    z = vectors - dots(vectors, c)[:, None] * c
    inverse = np.divide(np.float32(1), sigma, out=np.zeros_like(sigma), where=sigma > 0)
    count = sum(bits)
    y = z * inverse
    y[:, count:] = 0
    size = np.sqrt(dots(y, y) * np.float32(1 / max(1, count)))
    up = np.divide(np.float32(1 / LEVEL_STEP), size, out=np.zeros_like(size), where=size > 0)
    y = y * up[:, None]
    rows = np.zeros((len(vectors), row_bytes(bits)), dtype=np.uint8)
    for dims, columns, nbits, values in _parts(bits):
        borders = (values[1:] + values[:-1]) / np.float32(2)
        rows[:, columns] = pack(np.searchsorted(borders, y[:, dims], side="left").astype(np.uint8), nbits)
    w = levels_of(rows, width, bits) * sigma
    return rows, _gains(vectors, c, w)


def _gains(v: F32, c: F32, w: F32) -> F32:
    cc, ww, cw, vc, vw = (dots(a, b).astype(np.float64) for a, b in ((c, c), (w, w), (c, w), (v, c), (v, w)))
    determinant = cc * ww - cw * cw
    solvable = determinant > 1e-12 * cc * ww
    safe = np.where(solvable, determinant, 1.0)
    a = np.where(solvable, (vc * ww - vw * cw) / safe, np.where(cc > 0, np.where(vc < 0, -1.0, 1.0), 0.0))
    b = np.where(solvable, (vw * cc - vc * cw) / safe, np.where(cc > 0, 0.0, np.where(vw < 0, -1.0, 1.0)))
    square = (a * a) * cc + (2.0 * (a * b)) * cw + (b * b) * ww
    length = np.sqrt(np.maximum(square, 0.0))
    inverse = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return np.stack([a * inverse, b * inverse], axis=1).astype(np.float32)


def decode_scaled(
    codes: Array,
    rows: Array,
    gains: Array,
    centroids8: Array,
    centroid_scales: F32,
    sigma: F32,
    bits: Bits,
    gain_values: F32,
) -> F32:
    """Reconstruct f32 ``[n, width]``: ``a * centroid + b * (sigma * level)``, in this order of rounding.

    Args:
        codes: u16 ``[n]``.
        rows: u8 ``[n, row_bytes(bits)]``.
        gains: u8 ``[n]``, rows of ``gain_values``.
        centroids8, centroid_scales, sigma, bits: as in ``encode_scaled``.
        gain_values: f32 ``[256, 2]``.
    """
    c = centroids_of(codes, centroids8, centroid_scales)
    w = levels_of(rows, len(sigma), bits) * sigma
    a, b = gain_values[gains].T
    return np.asarray(a[:, None] * c + b[:, None] * w, dtype=np.float32)


def maxsim_scaled(
    query: F32,
    codes: Array,
    rows: Array,
    gains: Array,
    centroids8: Array,
    centroid_scales: F32,
    sigma: F32,
    bits: Bits,
    gain_values: F32,
    offsets: Array,
    docs: Array,
) -> F32:
    """MaxSim from the codes, with an int8 query.

    With ``q8, qs = quantise_rows(query)`` and ``r8, rs = quantise_rows(query * sigma)``, the score of a
    token for query token ``q``, in units of ``rs[q]``, is::

        a * ((f32(q8 . (centroid8 - 128)) * centroid_scale) * (qs[q] / rs[q])) + b * f32(r8 . level)

    Where ``rs`` is 0 and ``qs`` is not, 1 stands for ``rs``; where both are 0, 0 stands for ``qs / rs``. The
    largest of a document's tokens is taken per query token, multiplied with ``rs``, and summed in the order
    of ``sum_lanes``.

    Args:
        query: f32 ``[nq, width]``, rotated; nq >= 1.
        codes, rows, gains: u16 ``[ntokens]``, u8 ``[ntokens, row_bytes(bits)]``, u8 ``[ntokens]``.
        centroids8, centroid_scales, sigma, bits, gain_values: as in ``decode_scaled``.
        offsets: i64 ``[n + 1]``.
        docs: u32 ``[m]``.

    Returns:
        f32 ``[m]``; -inf for a document without tokens.
    """
    q8, qs = quantise_rows(query)
    r8, rs = quantise_rows(query * sigma)
    unit = np.where((rs == 0) & (qs > 0), np.float32(1), rs)
    ratio = np.divide(qs, unit, out=np.zeros_like(qs), where=unit > 0)
    levels = levels_of(rows, len(sigma), bits).astype(np.int32)
    weights = np.zeros(lanes_of(len(query)), dtype=np.float32)
    weights[: len(query)] = unit
    scores = np.full(len(docs), -np.inf, dtype=np.float32)
    for position, doc in enumerate(docs):
        own = slice(offsets[doc], offsets[doc + 1])
        if own.start == own.stop:
            continue
        near = centroids8[codes[own]].astype(np.int32) - CENTROID_ZERO
        table = (near @ q8.T.astype(np.int32)).astype(np.float32)
        table = (table * centroid_scales[codes[own]][:, None]) * ratio
        fine = (levels[own] @ r8.T.astype(np.int32)).astype(np.float32)
        a, b = gain_values[gains[own]].T
        best = (a[:, None] * table + b[:, None] * fine).max(axis=0)
        lanes = np.zeros(len(weights), dtype=np.float32)
        lanes[: len(best)] = best
        scores[position] = sum_lanes(lanes * weights)
    return scores


def maxsim_decoded(
    query: F32,
    codes: Array,
    rows: Array,
    gains: Array,
    centroids8: Array,
    centroid_scales: F32,
    sigma: F32,
    bits: Bits,
    gain_values: F32,
    offsets: Array,
    docs: Array,
) -> F32:
    """MaxSim f32 ``[m]`` on the reconstructed vectors: ``maxsim(query, decode_scaled(...), offsets, docs)``.

    Arguments as in ``maxsim_scaled``.
    """
    vectors = decode_scaled(codes, rows, gains, centroids8, centroid_scales, sigma, bits, gain_values)
    return maxsim(query, vectors, offsets, docs)


def maxsim_scaled_all(queries: F32, query_offsets: Array, *tokens: Any, **named: Any) -> F32:
    """``maxsim_scaled`` of several queries: the same bits, but documents are decoded once.

    Args:
        queries: f32 ``[nq, width]``, the tokens of all, one query after the other.
        query_offsets: i64 ``[n + 1]``, ascending from 0 to nq: every query has tokens.
        tokens, named: codes and all that follows, as in ``maxsim_scaled``.

    Returns:
        f32 ``[n, m]``.
    """
    return _each_query(maxsim_scaled, queries, query_offsets, *tokens, **named)


def maxsim_decoded_all(queries: F32, query_offsets: Array, *tokens: Any, **named: Any) -> F32:
    """``maxsim_decoded`` of several queries, like ``maxsim_scaled_all``."""
    return _each_query(maxsim_decoded, queries, query_offsets, *tokens, **named)


def _each_query(kernel: Any, queries: F32, query_offsets: Array, *tokens: Any, **named: Any) -> F32:
    return np.stack(
        [kernel(queries[begin:end], *tokens, **named) for begin, end in pairwise(query_offsets.tolist())]
    )


def merge_tokens(query: F32, similarity: float) -> F32:
    """Query tokens that are nearly the same become one, their sum.

    Tokens are taken in order. Each joins the first earlier group whose first token is at least as near as
    ``similarity``: ``dots(x, y) >= f32(similarity) * (|x| * |y|)`` with ``|x| = sqrt(dots(x, x))``;
    otherwise it begins a group. For near tokens the sum of the largest dot products is nearly the largest
    dot product of the sum.

    Returns:
        f32 ``[groups, width]``: the sums, added in order.
    """
    firsts: list[int] = []
    sums: list[F32] = []
    norms = np.sqrt(dots(query, query))
    for token, row in enumerate(query):
        for group, first in enumerate(firsts):
            near = dots(row[None], query[first][None])[0]
            if near >= np.float32(similarity) * (norms[token] * norms[first]):
                sums[group] = sums[group] + row
                break
        else:
            firsts.append(token)
            sums.append(row.copy())
    return np.array(sums, dtype=np.float32).reshape(len(sums), query.shape[1])


def top_rows(
    query: F32,
    probes: Array,
    group_offsets: Array,
    rows8: Array,
    row_scales: F32,
    count: int,
) -> tuple[npt.NDArray[np.uint32], F32]:
    """For each query token the rows with the largest dot products, among those of some groups of rows.

    Args:
        query: f32 ``[nq, width]``; quantised as in ``quantise_rows``.
        probes: u32 ``[nq, p]``: the groups to look into, no group twice for a token; ``NO_ROW`` is passed
            over.
        group_offsets: i64 ``[ngroups + 1]``: group ``g`` is ``rows8[group_offsets[g]:group_offsets[g + 1]]``.
        rows8: u8 ``[n, width]``, zero point 128.
        row_scales: f32 ``[n]``.
        count: rows wanted for each token.

    Returns:
        u32 ``[nq, count]``, best first, ties by lower row, and f32 ``[nq, count]`` scores
        ``(f32(integer dot) * row_scale) * query_scale``. Where the groups have fewer rows the answer is
        filled up with ``NO_ROW`` and -inf.
    """
    q8, qs = quantise_rows(query)
    best = np.full((len(query), count), NO_ROW, dtype=np.uint32)
    scores = np.full((len(query), count), -np.inf, dtype=np.float32)
    for token in range(len(query)):
        groups = np.sort(probes[token][probes[token] != NO_ROW]).astype(np.int64)
        parts = [np.arange(group_offsets[group], group_offsets[group + 1]) for group in groups]
        rows = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        near = (rows8[rows].astype(np.int32) - CENTROID_ZERO) @ q8[token].astype(np.int32)
        values = (near.astype(np.float32) * row_scales[rows]) * qs[token]
        order = np.lexsort((rows, -values))[:count]
        best[token, : len(order)] = rows[order]
        scores[token, : len(order)] = values[order]
    return best, scores


def gather_top(
    lists: Array,
    gains: Array,
    list_offsets: Array,
    list_docs: Array,
    allowed: Array | None,
    ndocs: int,
    count: int,
) -> tuple[npt.NDArray[np.uint32], F32]:
    """The documents that the lists speak for most.

    For each query token the lists are visited in the order given. The first time a document is met for a
    token, the list's gain is added to its score. With the best list first, and as gain what a list scores
    above what documents not met are thought to have, this is MaxSim with imputation (WARP, Scheerer et al.
    2025, section 4.2). Tokens are visited in order.

    Args:
        lists: u32 ``[nq, p]``, nq < 65,536; ``NO_ROW`` is passed over.
        gains: u16 ``[nq, p]``, in any unit; no document may get more than 65,535 in all, as the largest of
            each row say.
        list_offsets: i64 ``[nlists + 1]``.
        list_docs: u16 or u32 ``[n]``, or u8 ``[n, 3]`` (24 bits, little-endian): documents, ascending in
            each list.
        allowed: u8 ``[ndocs]``, 0 for documents that must not be found; None allows all.
        ndocs: documents there are.
        count: documents wanted.

    Returns:
        u32 ``[m]`` documents, ascending, and their scores as f32: the best ``count`` of those with a score
        above 0, of equal ones those with the lower numbers; all if there are fewer.
    """
    plain = documents_of(list_docs)
    total = np.zeros(ndocs, dtype=np.uint16)
    for token in range(len(lists)):
        seen = np.zeros(ndocs, dtype=bool)
        for place in np.flatnonzero(lists[token] != NO_ROW):
            number = lists[token, place]
            docs = plain[list_offsets[number] : list_offsets[number + 1]]
            docs = docs[~seen[docs]]
            seen[docs] = True
            if allowed is not None:
                docs = docs[allowed[docs] != 0]
            total[docs] += gains[token, place]
    found = np.flatnonzero(total)
    order = np.lexsort((found, -total[found].astype(np.int64)))[:count]
    best: npt.NDArray[np.uint32] = np.sort(found[order]).astype(np.uint32)
    return best, total[best].astype(np.float32)


def documents_of(list_docs: Array) -> npt.NDArray[np.uint32]:
    """u32 ``[n]`` from any of the forms that ``gather_top`` takes."""
    if list_docs.ndim == 1:
        return list_docs.astype(np.uint32)
    wide = list_docs.astype(np.uint32)
    plain: npt.NDArray[np.uint32] = wide[:, 0] | wide[:, 1] << np.uint32(8) | wide[:, 2] << np.uint32(16)
    return plain


def invert(codes: Array, offsets: Array, nlists: int, nbytes: int) -> tuple[npt.NDArray[np.int64], Array]:
    """The inverted file: which documents have a token at each centroid.

    Args:
        codes: u16 or u32 ``[ntokens]``, each below ``nlists``.
        offsets: i64 ``[ndocs + 1]``, from 0 to ntokens; at most ``2 ** (8 * nbytes)`` documents.
        nlists: number of lists.
        nbytes: 2, 3 or 4: how documents are written.

    Returns:
        Lengths i64 ``[nlists]``, and the lists one after the other as ``gather_top`` takes them: documents,
        ascending and unique within a list.
    """
    ndocs = len(offsets) - 1
    docs = np.repeat(np.arange(ndocs, dtype=np.int64), np.diff(offsets))
    pairs = np.unique(codes.astype(np.int64) * max(1, ndocs) + docs)
    numbers, docs = np.divmod(pairs, max(1, ndocs))
    lengths = np.bincount(numbers, minlength=nlists).astype(np.int64)
    if nbytes == 3:
        return lengths, docs.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].copy()
    return lengths, docs.astype({2: np.uint16, 4: np.uint32}[nbytes])
