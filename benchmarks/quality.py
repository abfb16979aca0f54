"""Relevance kept by compression and search: `python benchmarks/quality.py DATA [--cache FOLDER]`.

DATA holds `eval/NAME/` in BEIR's form. Each collection is encoded with the built-in model and searched three
ways: exact f32 MaxSim; indexes of every level, and of the residual codec, with the default search; and BM25,
which is not run but taken from the data's own description (Lucene, k1 .9, b .4, English stop words and
stemmer).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import measure
from exact import best
from judged import Judged

import plait
from plait.evaluate import evaluate, run_of

#: nDCG@10 of BM25 on the same files, from the README of the data.
BM25 = {"cranfield": 0.3433, "cacm": 0.4874, "scifact": 0.6762, "nfcorpus": 0.3180, "msmarco-dl": 0.4677}
COLLECTIONS = ("cranfield", "nfcorpus", "scifact", "cacm", "msmarco-dl")
MADE = ("precise", "balanced", "compact", "4", "2")
METRICS = ("nDCG@10", "Recall@100")
DEPTH = 100


def measure_collection(folder: Path, options: argparse.Namespace) -> None:
    encoder = plait.load_encoder()
    collection = Judged.read(folder)
    documents, queries, seconds = collection.encoded(encoder, options.cache, options.threads)
    names = list(collection.queries)
    facts = {
        "collection": folder.name,
        "encoder": encoder.name,
        "documents": len(documents),
        "tokens": documents.ntokens,
        "queries": len(names),
    }

    def report(params: dict[str, Any], run: dict[str, dict[str, float]], **more: Any) -> None:
        values = {name: round(value, 4) for name, value in evaluate(collection.qrels, run, METRICS).items()}
        measure.emit("quality", "plait", params=params, **facts, **values, **more)

    rate = {"encode_tokens_per_cpu_s": round(documents.ntokens / seconds)} if seconds else {}
    exact = best(documents.vectors, documents.offsets, list(queries), DEPTH)
    report({"search": "exact"}, collection.run(exact), **rate)
    for made in map(measure.made_with, options.made):
        with tempfile.TemporaryDirectory() as path:
            index = plait.Index.create(Path(path) / "index", dim=documents.dim, **made)
            index.add(vectors=documents, ids=collection.ids)
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
