"""What users would take instead, on the same passages: BM25 by three engines, HNSW over pooled vectors.

    PYTHONPATH=benchmarks ENV/bin/python benchmarks/alternatives.py VECTORS

ENV has `pip install bm25s==0.3.16 numba tantivy==0.27.0 usearch==2.26.6`; SQLite's FTS5 comes with Python.
VECTORS is what vectors.py made. One thread; CPU milliseconds per query for the best 10, queries tokenised or
pooled beforehand, as plait's are encoded beforehand. bm25s without numba spends nearly all its time in
NumPy's argpartition, which differs much between processors. HNSW's recall is against an exhaustive scan of
the same pooled vectors.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import measure  # first: keeps everything to one thread
import numpy as np
from vectors import VectorSet

K = 10


def report(
    engine: str, source: VectorSet, build: Any, search: Callable[[Any], Any], asked: list[Any], **more: Any
) -> None:
    measure.emit(
        "alternatives",
        engine,
        **source.facts(),
        build_cpu_s=round(build.cpu, 2),
        **measure.per_query(search, asked),
        **more,
    )


def bm25s(source: VectorSet, texts: list[str], queries: list[str]) -> None:
    import bm25s as engine

    asked = [engine.tokenize([query], stopwords="en", show_progress=False) for query in queries]
    for backend in ("numpy", "numba"):
        with measure.Stopwatch() as build:
            index = engine.BM25(method="lucene", k1=0.9, b=0.4, backend=backend)
            words = engine.tokenize(texts, stopwords="en", show_progress=False)
            index.index(words, show_progress=False)
        report(
            "bm25s",
            source,
            build,
            partial(index.retrieve, k=K, n_threads=0, show_progress=False),
            asked,
            params={"k": K, "method": "lucene", "backend": backend},
        )


def tantivy(source: VectorSet, texts: list[str], queries: list[str]) -> None:
    import tantivy as engine

    schema = engine.SchemaBuilder().add_text_field("text", stored=False, tokenizer_name="en_stem")
    with tempfile.TemporaryDirectory() as folder, measure.Stopwatch() as build:
        index = engine.Index(schema.build(), path=folder)
        writer = index.writer(heap_size=256_000_000, num_threads=1)
        for text in texts:
            writer.add_document(engine.Document(text=text))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        searcher = index.searcher()
        asked = [index.parse_query(" ".join(words_of(query)), ["text"]) for query in queries]
        report(
            "tantivy",
            source,
            build_so_far(build),
            lambda query: searcher.search(query, K),
            asked,
            params={"k": K, "segments": searcher.num_segments},
        )


def sqlite_fts5(source: VectorSet, texts: list[str], queries: list[str]) -> None:
    """A table on disk; a document needs any of the words, as with the other engines."""
    from bm25s.stopwords import STOPWORDS_EN

    ask = "SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY bm25(passages) LIMIT ?"
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "fts5.db")) as base:
        with measure.Stopwatch() as build, base:
            base.execute(
                "CREATE VIRTUAL TABLE passages USING fts5(text, content='', tokenize='porter unicode61')"
            )
            rows = enumerate(texts)
            base.executemany("INSERT INTO passages(rowid, text) VALUES (?, ?)", rows)
            base.execute("INSERT INTO passages(passages) VALUES ('optimize')")
        for stopwords in (frozenset(STOPWORDS_EN), frozenset()):
            asked = [any_of(words_of(query), stopwords) for query in queries]
            report(
                "sqlite-fts5",
                source,
                build,
                lambda query: base.execute(ask, (query, K)).fetchall(),
                asked,
                version=sqlite3.sqlite_version,
                params={"k": K, "stopwords": "left out" if stopwords else "asked for"},
            )


def words_of(query: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in query).split()


def any_of(words: list[str], stopwords: frozenset[str]) -> str:
    """An FTS5 expression; all words if they are all stop words."""
    chosen = [word for word in words if word.lower() not in stopwords] or words
    return " OR ".join(f'"{word}"' for word in chosen)


def build_so_far(watch: Any) -> Any:
    watch.__exit__()
    return watch


def usearch(source: VectorSet) -> None:
    from usearch.index import Index

    def pooled(rows: Any) -> Any:
        mean = rows.astype(np.float32).mean(axis=0)
        return mean / np.linalg.norm(mean)

    embeddings, offsets = source.embeddings, source.offsets
    vectors = np.stack([pooled(embeddings[a:b]) for a, b in pairwise(offsets)])
    asked = [pooled(query) for query in source.queries("ragged")]
    with measure.Stopwatch() as build:
        index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16")
        index.add(np.arange(len(vectors)), vectors, threads=1)
    truth = [np.argsort(-(vectors @ query), kind="stable")[:K] for query in asked]
    for expansion in (64, 128, 256):
        index.expansion_search = expansion
        found = [index.search(query, K, threads=1).keys for query in asked]
        report(
            "usearch",
            source,
            build,
            lambda query: index.search(query, K, threads=1),
            asked,
            params={"k": K, "vectors": "mean of the tokens, f16", "expansion_search": expansion},
            recall_of_pooled=measure.overlap(found, truth, K),
        )


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    options = parser.parse_args()
    source = VectorSet(options.vectors)
    texts, queries = source.texts(), source.query_texts()
    bm25s(source, texts, queries)
    tantivy(source, texts, queries)
    sqlite_fts5(source, texts, queries)
    usearch(source)


if __name__ == "__main__":
    main()
