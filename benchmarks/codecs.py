"""Bake-off of compressions: `python benchmarks/codecs.py DATA [--cache FOLDER]`.

Every codec compresses the same token vectors; documents are then scored by exhaustive f32 MaxSim on the
reconstructed vectors, so that candidates play no part. Reported per codec, width and number of bits: nDCG@10,
the share of the exact nDCG@10 that is kept with a paired bootstrap interval over queries, overlap of the
best 10 and 100 with exact search (that of the 100 is recall@100 of exact), and bytes per token:

    bytes_per_token   codes and what belongs to them
    list_bytes        the inverted lists, as an index has them
    codec_bytes       centroids and tables, shared by all tokens. Their number grows with the collection up
                      to a limit, so this falls towards 0 for large ones, and small ones have fewer centroids
    bytes_all_in      the sum of the three

Widths below the model's are its leading dimensions, which it was trained to order.

Codecs:
    transform  ScaledCodec: centroid + two gains + residual in its own basis, more bits where it varies more
    residual   ColBERTv2: centroid + one global set of quantile buckets, renormalised
    scaled     centroid + residual turned at random, in Lloyd-Max levels of a Gaussian, with a scale per token
    direct     no centroid: mean-centred, turned at random, Lloyd-Max levels, with a scale per token
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import measure
import numpy as np
import numpy.typing as npt
from exact import best
from judged import Judged

import plait
from plait import kernels
from plait.codec import ResidualCodec, ScaledCodec
from plait.codec.kmeans import normalise
from plait.evaluate import evaluate_queries
from plait.threads import row_blocks

Array = npt.NDArray[Any]
DEPTH = 100
SAMPLE = 100_000
ROWS_PER_BLOCK = 65_536
COLLECTIONS = ("cranfield", "nfcorpus", "msmarco-dl", "scifact", "cacm")


def gaussian_levels(bits: int, rounds: int = 200) -> Array:
    """Lloyd-Max levels of N(0, 1), f32 ``[2**bits]``."""
    sample = np.sort(np.random.default_rng(0).normal(size=400_000))
    levels = np.quantile(sample, (np.arange(1 << bits) + 0.5) / (1 << bits))
    for _ in range(rounds):
        borders = np.searchsorted(sample, (levels[1:] + levels[:-1]) / 2)
        levels = np.array([part.mean() for part in np.split(sample, borders)])
    return levels.astype(np.float32)


def rotation(dim: int) -> Array:
    """A random orthogonal matrix f32 ``[dim, dim]``."""
    return np.linalg.qr(np.random.default_rng(1).normal(size=(dim, dim)))[0].astype(np.float32)


def quantise(vectors: Array, bits: int) -> Array:
    """Rows in Lloyd-Max levels times the scale that makes the projection on the row exact."""
    levels = gaussian_levels(bits)
    borders = (levels[1:] + levels[:-1]) / 2
    parts = []
    for rows in row_blocks(len(vectors), ROWS_PER_BLOCK):
        part = vectors[rows]
        spread = np.sqrt((part**2).mean(axis=1, keepdims=True)) + 1e-12
        values = levels[np.searchsorted(borders, part / spread)]
        scale = (part * values).sum(axis=1, keepdims=True) / (values**2).sum(axis=1, keepdims=True)
        parts.append(values * scale.astype(np.float16).astype(np.float32))
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Compressed:
    """What a codec made of token vectors.

    Attributes:
        vectors: f32 ``[ntokens, dim]``, reconstructed.
        row_bytes: bytes per token of everything but the code of its centroid.
        codec_bytes: of centroids and tables.
        codes: the centroid of each token, u16 or u32; None for a codec without.
        ncentroids: how many there are.
    """

    vectors: Array
    row_bytes: float
    codec_bytes: int
    codes: Array | None = None
    ncentroids: int = 0

    def sizes(self, offsets: Array) -> dict[str, float]:
        """Bytes per token of documents that begin at ``offsets``."""
        ntokens, token, lists = len(self.vectors), self.row_bytes, 0
        if self.codes is not None:
            token += self.codes.dtype.itemsize
            # Codes of two bytes come with lists of two, too: no collection here has 65,536 documents.
            nbytes = self.codes.dtype.itemsize
            lists = sum(part.nbytes for part in kernels.invert(self.codes, offsets, self.ncentroids, nbytes))
        return {
            "bytes_per_token": round(token, 2),
            "list_bytes": round(lists / ntokens, 2),
            "codec_bytes": round(self.codec_bytes / ntokens, 2),
            "bytes_all_in": round(token + (lists + self.codec_bytes) / ntokens, 2),
        }


def array_bytes(codec: ScaledCodec | ResidualCodec) -> int:
    """Bytes of a codec's arrays."""
    return sum(getattr(codec, field.name).nbytes for field in fields(codec))


def transform(vectors: Array, bits: float) -> Compressed:
    codec = ScaledCodec.fit(vectors, row_bytes=round(bits * vectors.shape[1] / 8))
    tokens = codec.compress(vectors)
    rebuilt = codec.decompress(tokens.codes, tokens.residuals, tokens.gains)
    return Compressed(rebuilt, codec.row_bytes + 1, array_bytes(codec), tokens.codes, codec.ncentroids)


def residual(vectors: Array, bits: float) -> Compressed:
    codec = ResidualCodec.fit(vectors, nbits=int(bits))
    tokens = codec.compress(vectors)
    rebuilt = codec.decompress(tokens.codes, tokens.residuals)
    # In an index the centroids have two bytes per value.
    size = array_bytes(codec) - codec.centroids.nbytes // 2
    return Compressed(rebuilt, codec.row_bytes + 2, size, tokens.codes, codec.ncentroids)


def scaled(vectors: Array, bits: float) -> Compressed:
    codec = ResidualCodec.fit(vectors, nbits=1)
    codes = codec.assigner(vectors)
    nearest = codec.centroids[codes]
    turn = rotation(vectors.shape[1])
    rebuilt = normalise(nearest + quantise((vectors - nearest) @ turn, int(bits)) @ turn.T)
    # One f16 for the residual, one for the length.
    size = 4 + vectors.shape[1] * bits / 8
    return Compressed(rebuilt, size, codec.centroids.nbytes // 2 + turn.nbytes, codes, codec.ncentroids)


def direct(vectors: Array, bits: float) -> Compressed:
    mean = vectors[:SAMPLE].mean(axis=0)
    turn = rotation(vectors.shape[1])
    rebuilt = mean + quantise((vectors - mean) @ turn, int(bits)) @ turn.T
    return Compressed(rebuilt, 2 + vectors.shape[1] * bits / 8, turn.nbytes + mean.nbytes)


CODECS: dict[str, tuple[Callable[[Array, float], Compressed], tuple[int, ...]]] = {
    "transform": (transform, ()),
    "residual": (residual, (1, 2, 4, 8)),
    "scaled": (scaled, (1, 2, 3, 4, 8)),
    "direct": (direct, (1, 2, 3, 4, 8)),
}
#: Bytes of detail per token that "transform" is tried with, where they are not more than 4 bits.
DETAIL_BYTES = (8, 12, 16, 20, 28, 36, 64)


def widths_of(codec: str, dim: int) -> list[float]:
    """Bits per dimension that a codec is tried with."""
    return list(CODECS[codec][1]) or [8 * size / dim for size in DETAIL_BYTES if 2 * size <= dim]


def kept(values: Array, exact: Array, rounds: int = 2000) -> tuple[float, float, float]:
    """Share of the exact mean that is kept, with the 95 % interval of a paired bootstrap over queries."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(values), size=(rounds, len(values)))
    shares = values[picks].mean(axis=1) / exact[picks].mean(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return round(float(values.mean() / exact.mean()), 4), round(float(low), 4), round(float(high), 4)


def measure_collection(folder: Path, options: argparse.Namespace) -> None:
    encoder = plait.load_encoder()
    collection = Judged.read(folder)
    full, asked, _ = collection.encoded(encoder, options.cache, options.threads)

    def ndcg(orders: Array) -> Array:
        per_query = evaluate_queries(collection.qrels, collection.run(orders), ("nDCG@10",))["nDCG@10"]
        return np.array([per_query[name] for name in collection.queries])

    for dim in options.dims:
        documents = normalise(np.ascontiguousarray(full.vectors[:, :dim], dtype=np.float32))
        queries = [normalise(np.ascontiguousarray(query[:, :dim])) for query in asked]
        truth = best(documents, full.offsets, queries, DEPTH)
        exact = ndcg(truth)
        facts = {
            "collection": folder.name,
            "encoder": encoder.name,
            "dim": dim,
            "tokens": full.ntokens,
            "queries": len(queries),
        }
        report = {"nDCG@10": round(float(exact.mean()), 4), "bytes_per_token": 4 * dim}
        measure.emit("codecs", "plait", codec="float32", bits=32, **facts, **report)
        for name in options.codecs:
            for bits in widths_of(name, dim):
                made = CODECS[name][0](documents, bits)
                order = best(made.vectors, full.offsets, queries, DEPTH)
                values = ndcg(order)
                share, low, high = kept(values, exact)
                measure.emit(
                    "codecs",
                    "plait",
                    codec=name,
                    bits=round(bits, 3),
                    **({"detail_bytes": round(bits * dim / 8)} if name == "transform" else {}),
                    **facts,
                    **{"nDCG@10": round(float(values.mean()), 4)},
                    kept=share,
                    kept_low=low,
                    kept_high=high,
                    overlap_10=measure.overlap(order, truth, 10),
                    overlap_100=measure.overlap(order, truth, 100),
                    **made.sizes(full.offsets),
                )


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--codecs", nargs="+", default=list(CODECS))
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 96, 64])
    parser.add_argument("--cache", type=Path, help="keep token vectors here")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    for name in options.collections:
        measure_collection(options.data / "eval" / name, options)


if __name__ == "__main__":
    main()
