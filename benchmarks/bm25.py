"""BM25: plait's, bm25s' and tantivy's on the same passages, in this order.

    python benchmarks/bm25.py VECTORS FOUND --engine plait
    PYTHONPATH=benchmarks ENV/bin/python benchmarks/bm25.py VECTORS FOUND --engine bm25s
    PYTHONPATH=benchmarks ENV/bin/python benchmarks/bm25.py VECTORS FOUND --engine tantivy

ENV has `pip install bm25s==0.3.16 numba tantivy==0.27.0`. VECTORS is what vectors.py made; only its texts are
used. FOUND is a folder for the terms and the best documents that plait found, which the others are compared
with. One thread, CPU time. bm25s gets plait's terms and tantivy parsed queries, made beforehand; plait is
timed with the splitting of the query, as texts come in. k1 is 1.2 and b .75 everywhere; tantivy has its own
analysis and rounds lengths.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measure  # first: keeps everything to one thread
import numpy as np
from vectors import VectorSet

KS = (10, 100)
Search = Callable[[Any, int], Any]


def report(
    engine: str,
    documents: int,
    asked: list[Any],
    search: Search,
    found: Path,
    number: Callable[[Any], Any] = int,
    **more: Any,
) -> None:
    """One line for each k; the first engine's best documents are kept, the others' compared with them."""
    for k in KS:
        best = [[number(doc) for doc in search(query, k)] for query in asked]
        kept = found / f"best-{k}.json"
        if engine == "plait" and not kept.exists():
            kept.write_text(json.dumps(best))
        agreement = measure.overlap(best, json.loads(kept.read_text()), k)
        facts = {"documents": documents, "k": k, "agreement": agreement}
        measure.emit("bm25", engine, **facts, **measure.per_query(partial(search, k=k), asked), **more)


def plait(texts: list[str], queries: list[str], found: Path) -> None:
    import plait as engine
    from plait.search import search_bm25
    from plait.types import TokenEmbeddings

    vectors = TokenEmbeddings(np.ones((len(texts), 1), dtype=np.float32), np.ones(len(texts), dtype=np.int64))
    with tempfile.TemporaryDirectory() as folder:
        times = {}
        for bm25 in (False, True):  # what BM25 adds to adding
            with measure.Stopwatch() as build:
                index = engine.Index.create(Path(folder) / str(bm25), dim=1, bm25=bm25)
                index.add(vectors=vectors, texts=texts, threads=1)
            times[bm25] = build.cpu
        facts = {
            "build_cpu_s": round(times[True] - times[False], 2),
            "bytes_per_document": round(index.stats().bytes_bm25 / len(texts), 1),
        }
        with index.snapshot() as snapshot:
            part = next(part for part in snapshot.parts if part.name == "bm25")
            terms = [[part.analyzer.terms(text) for text in some] for some in (texts, queries)]
            (found / "terms.json").write_text(json.dumps(terms))

            def pids(query: str, k: int) -> list[int]:
                return [pid - 1 for pid, _ in search_bm25(snapshot, part, query, k)]

            report("plait", len(texts), queries, pids, found, answer="numbers and scores", **facts)

        def hits(query: str, k: int) -> list[str]:
            return [hit.id for hit in index.search_bm25(query, k)]

        report("plait", len(texts), queries, hits, found, answer="hits with texts", **facts)
        index.close()


def bm25s(texts: list[str], queries: list[str], found: Path) -> None:
    import bm25s as engine

    documents, asked = json.loads((found / "terms.json").read_text())
    index = engine.BM25(method="lucene", k1=1.2, b=0.75, backend="numba")
    with measure.Stopwatch() as build:
        index.index(documents, show_progress=False)

    def search(terms: list[str], k: int) -> list[int]:
        return index.retrieve([terms], k=k, n_threads=0, show_progress=False)[0][0].tolist()

    with tempfile.TemporaryDirectory() as folder:
        index.save(folder)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    facts: dict[str, Any] = {"build_cpu_s": round(build.cpu, 2)}
    facts["bytes_per_document"] = round(size / len(documents), 1)
    facts["backend"] = "numba"
    report("bm25s", len(documents), asked, search, found, answer="numbers and scores", **facts)


def tantivy(texts: list[str], queries: list[str], found: Path) -> None:
    import tantivy as engine

    builder = engine.SchemaBuilder().add_text_field("text", stored=False, tokenizer_name="en_stem")
    schema = builder.add_unsigned_field("number", fast=True, stored=True).build()
    with tempfile.TemporaryDirectory() as folder:
        index = engine.Index(schema, path=folder)
        with measure.Stopwatch() as build:
            writer = index.writer(heap_size=256_000_000, num_threads=1)
            for number, text in enumerate(texts):
                document = engine.Document(text=text)
                document.add_unsigned("number", number)
                writer.add_document(document)
            writer.commit()
            writer.wait_merging_threads()
        index.reload()
        searcher = index.searcher()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        words = ["".join(c if c.isalnum() else " " for c in query) for query in queries]
        asked = [index.parse_query(query, ["text"]) for query in words]

        def search(query: Any, k: int) -> Any:
            return [address for _, address in searcher.search(query, k).hits]

        facts = {"build_cpu_s": round(build.cpu, 2), "bytes_per_document": round(size / len(texts), 1)}

        def number(address: Any) -> Any:
            return searcher.doc(address)["number"][0]

        report("tantivy", len(texts), asked, search, found, number, answer="numbers and scores", **facts)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("found", type=Path)
    parser.add_argument("--engine", choices=["plait", "bm25s", "tantivy"], required=True)
    options = parser.parse_args()
    options.found.mkdir(parents=True, exist_ok=True)
    source = VectorSet(options.vectors)
    {"plait": plait, "bm25s": bm25s, "tantivy": tantivy}[options.engine](
        source.texts(), source.query_texts(), options.found
    )


if __name__ == "__main__":
    main()
