"""Bake-off of compressions: `python benchmarks/codecs.py DATA [--cache FOLDER]`.

Every codec compresses the same token vectors; documents are then scored by exhaustive f32 MaxSim on the
reconstructed vectors, so that candidates play no part. Reported per codec, width and number of bits: nDCG@10,
the share of the exact nDCG@10 that is kept with a paired bootstrap interval over queries, overlap of the
best 10 and 100 with exact search, and bytes per token (codes and what belongs to them, without lists).

Codecs:
    residual   ColBERTv2: centroid + one global set of quantile buckets, renormalised
    scaled     centroid + rotated residual in Lloyd-Max levels of a Gaussian, with a scale per token
    direct     no centroid: mean-centred, rotated, Lloyd-Max levels, with a scale per token
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import numpy.typing as npt
from exact import best
from quality import encoded

import plait
from plait.codec import ResidualCodec
from plait.codec.kmeans import normalise
from plait.evaluate import evaluate_queries, judged_queries, read_qrels
from plait.sources import read_documents, read_queries

Array = npt.NDArray[Any]
DEPTH = 100
SAMPLE = 100_000


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
    spread = np.sqrt((vectors**2).mean(axis=1, keepdims=True)) + 1e-12
    borders = (levels[1:] + levels[:-1]) / 2
    values = levels[np.searchsorted(borders, vectors / spread)]
    scale = (vectors * values).sum(axis=1, keepdims=True) / (values**2).sum(axis=1, keepdims=True)
    return np.asarray(values * scale.astype(np.float16).astype(np.float32))


def residual(vectors: Array, bits: int) -> tuple[Array, float]:
    codec = ResidualCodec.fit(vectors, nbits=bits)
    tokens = codec.compress(vectors)
    return codec.decompress(tokens.codes, tokens.residuals), 4 + 2 + vectors.shape[1] * bits / 8


def scaled(vectors: Array, bits: int) -> tuple[Array, float]:
    codec = ResidualCodec.fit(vectors, nbits=1)
    nearest = codec.centroids[codec.assigner(vectors)]
    turn = rotation(vectors.shape[1])
    rebuilt = nearest + quantise((vectors - nearest) @ turn, bits) @ turn.T
    return normalise(rebuilt), 4 + 2 + 2 + vectors.shape[1] * bits / 8


def direct(vectors: Array, bits: int) -> tuple[Array, float]:
    mean = vectors[:SAMPLE].mean(axis=0)
    turn = rotation(vectors.shape[1])
    rebuilt = mean + quantise((vectors - mean) @ turn, bits) @ turn.T
    return rebuilt, 2 + vectors.shape[1] * bits / 8


CODECS: dict[str, tuple[Callable[[Array, int], tuple[Array, float]], tuple[int, ...]]] = {
    "residual": (residual, (1, 2, 4, 8)),
    "scaled": (scaled, (1, 2, 3, 4)),
    "direct": (direct, (1, 2, 3, 4, 8)),
}


def in_blocks(codec: Callable[[Array, int], tuple[Array, float]], vectors: Array, bits: int) -> Any:
    rebuilt, size = codec(vectors, bits)
    return np.ascontiguousarray(rebuilt, dtype=np.float32), size


def kept(values: Array, exact: Array, rounds: int = 2000) -> tuple[float, float, float]:
    """Share of the exact mean that is kept, with the 95 % interval of a paired bootstrap over queries."""
    rng = np.random.default_rng(0)
    picks = rng.integers(len(values), size=(rounds, len(values)))
    shares = values[picks].mean(axis=1) / exact[picks].mean(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return round(float(values.mean() / exact.mean()), 4), round(float(low), 4), round(float(high), 4)


def measure_collection(folder: Path, options: argparse.Namespace) -> None:
    encoder = plait.load_encoder()
    corpus = list(read_documents(folder, skip_bad_lines=True))
    qrels = read_qrels(folder)
    texts = judged_queries(read_queries(folder), qrels)
    names, ids = list(texts), [document.id for document in corpus]
    full, _ = encoded(
        encoder, [doc.text or "" for doc in corpus], "documents", options.cache, options.threads
    )
    asked, _ = encoded(encoder, list(texts.values()), "queries", options.cache, options.threads)

    def ndcg(order: Array) -> Array:
        run = {
            name: {ids[place]: float(DEPTH - rank) for rank, place in enumerate(row)}
            for name, row in zip(names, order, strict=True)
        }
        per_query = evaluate_queries(qrels, run, ("nDCG@10",))["nDCG@10"]
        return np.array([per_query[name] for name in names])

    for dim in options.dims:
        documents = normalise(np.ascontiguousarray(full.vectors[:, :dim]))
        queries = [normalise(np.ascontiguousarray(query[:, :dim])) for query in asked]
        truth = best(documents, full.offsets, queries, DEPTH)
        exact = ndcg(truth)
        facts = {"collection": folder.name, "encoder": encoder.name, "dim": dim, "tokens": full.ntokens}
        report = {"nDCG@10": round(float(exact.mean()), 4), "bytes_per_token": 4 * dim}
        measure.emit("codecs", "plait", codec="float32", bits=32, **facts, **report)
        for name in options.codecs:
            codec, widths = CODECS[name]
            for bits in widths:
                rebuilt, size = in_blocks(codec, documents, bits)
                order = best(rebuilt, full.offsets, queries, DEPTH)
                values = ndcg(order)
                share, low, high = kept(values, exact)
                measure.emit(
                    "codecs",
                    "plait",
                    codec=name,
                    bits=bits,
                    **facts,
                    **{"nDCG@10": round(float(values.mean()), 4)},
                    kept=share,
                    kept_low=low,
                    kept_high=high,
                    overlap_10=measure.overlap(order, truth, 10),
                    overlap_100=measure.overlap(order, truth, 100),
                    bytes_per_token=size,
                )


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--collections", nargs="+", default=["cranfield", "nfcorpus", "scifact"])
    parser.add_argument("--codecs", nargs="+", default=list(CODECS))
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 96, 64])
    parser.add_argument("--cache", type=Path, help="keep token vectors here")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    for name in options.collections:
        measure_collection(options.data / "eval" / name, options)


if __name__ == "__main__":
    main()
