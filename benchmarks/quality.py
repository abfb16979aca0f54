"""Relevance kept by compression and search: `python benchmarks/quality.py DATA [--cache FOLDER]`.

DATA holds `eval/NAME/` in BEIR's form. Each collection is encoded with the built-in model and searched three
ways: exact f32 MaxSim; indexes of every level, and of the residual codec, with the default search; and BM25,
which is not run but taken from the data's own description (Lucene, k1 .9, b .4, English stop words and
stemmer).
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
import numpy as np
from exact import best

import plait
from plait.evaluate import evaluate, judged_queries, read_qrels, run_of
from plait.sources import read_documents, read_queries

#: nDCG@10 of BM25 on the same files, from the README of the data.
BM25 = {"cranfield": 0.3433, "cacm": 0.4874, "scifact": 0.6762, "nfcorpus": 0.3180, "msmarco-dl": 0.4677}
COLLECTIONS = ("cranfield", "nfcorpus", "scifact", "cacm", "msmarco-dl")
MADE = ("precise", "balanced", "compact", "4", "2")
METRICS = ("nDCG@10", "Recall@100")
DEPTH = 100
CHUNK = 1024


def encoded(
    encoder: Any, texts: Sequence[str], kind: str, cache: Path | None, threads: int | None
) -> tuple[plait.TokenEmbeddings, float | None]:
    """Embeddings of texts and the CPU seconds they took; from the cache by content, then without seconds."""
    digest = hashlib.blake2b("\0".join([encoder.fingerprint, kind, *texts]).encode(), digest_size=12)
    path = (cache / f"{digest.hexdigest()}.npz") if cache else None
    if path and path.exists():
        stored = np.load(path)
        return plait.TokenEmbeddings(stored["vectors"], stored["doclens"]), None
    encode = encoder.encode_queries if kind == "queries" else encoder.encode_documents
    with measure.Stopwatch() as watch:
        parts = [
            encode(texts[start : start + CHUNK], threads=threads) for start in range(0, len(texts), CHUNK)
        ]
    found = plait.TokenEmbeddings(
        np.concatenate([part.vectors for part in parts]), np.concatenate([part.doclens for part in parts])
    )
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, vectors=found.vectors.astype(np.float16), doclens=found.doclens)
    # Every run sees the same f16 values, cached or not.
    return plait.TokenEmbeddings(found.vectors.astype(np.float16), found.doclens), watch.cpu


def exact_run(
    ids: list[str], documents: plait.TokenEmbeddings, names: list[str], queries: plait.TokenEmbeddings
) -> dict[str, dict[str, float]]:
    orders = best(documents.vectors, documents.offsets, list(queries), DEPTH)
    return {
        name: {ids[place]: float(DEPTH - rank) for rank, place in enumerate(order)}
        for name, order in zip(names, orders, strict=True)
    }


def measure_collection(folder: Path, options: argparse.Namespace) -> None:
    encoder = plait.load_encoder()
    corpus = list(read_documents(folder, skip_bad_lines=True))  # Cranfield has two empty documents
    qrels = read_qrels(folder)
    texts = judged_queries(read_queries(folder), qrels)
    names, ids = list(texts), [document.id for document in corpus]
    documents, seconds = encoded(
        encoder, [document.text or "" for document in corpus], "documents", options.cache, options.threads
    )
    queries, _ = encoded(encoder, list(texts.values()), "queries", options.cache, options.threads)
    facts = {
        "collection": folder.name,
        "encoder": encoder.name,
        "documents": len(documents),
        "tokens": documents.ntokens,
        "queries": len(names),
    }

    def report(params: dict[str, Any], run: dict[str, dict[str, float]], **more: Any) -> None:
        values = {name: round(value, 4) for name, value in evaluate(qrels, run, METRICS).items()}
        measure.emit("quality", "plait", params=params, **facts, **values, **more)

    rate = {"encode_tokens_per_cpu_s": round(documents.ntokens / seconds)} if seconds else {}
    report({"search": "exact"}, exact_run(ids, documents, names, queries), **rate)
    for made in map(measure.made_with, options.made):
        with tempfile.TemporaryDirectory() as path:
            index = plait.Index.create(Path(path) / "index", dim=documents.dim, **made)
            index.add(vectors=documents, ids=ids)
            found = index.search_all(queries, DEPTH)
            size = index.stats().bytes_per_token
            report({"search": "default"}, run_of(names, found), index=made, bytes_per_token=size)
    if folder.name in BM25:
        baseline = {"search": "BM25", "source": "published with the data"}
        measure.emit("quality", "plait", params=baseline, **facts, **{"nDCG@10": BM25[folder.name]})


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--made", nargs="+", default=list(MADE), help="levels, or bits of the residual codec")
    parser.add_argument("--cache", type=Path, help="keep token vectors here")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    for name in options.collections:
        measure_collection(options.data / "eval" / name, options)


if __name__ == "__main__":
    main()
