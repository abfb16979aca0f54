"""Searches with filters on the vectors of vectors.py: `python benchmarks/filters.py VECTORS [--made ...]`.

Every document gets a random place among all of them as metadata, and a filter takes those below a share of
the places: 50 %, 5 %, 0.5 % of the documents, and one document. One JSON line each:

    recall   the mean overlap of the best k with those of a scan: f32 MaxSim, on the same codes, of all
             documents that match
    ms          CPU time of Index.search with a query's token vectors, one thread, filter known from before
    filter_ms   what a filter takes that is met for the first time, on a declared field
    undeclared_filter_ms   and on one that is not declared
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import numpy as np
from vectors import VectorSet

import plait
from plait import search as engine

SHARES = (0.5, 0.05, 0.005, 0.0)
QUERIES_TOGETHER = 8
DOCUMENTS_PER_CHUNK = 4096


def build(source: VectorSet, path: Path, made: dict[str, Any]) -> plait.Index:
    """An index whose documents say their place twice: in a declared field and in another one."""
    places = np.random.default_rng(0).permutation(len(source.doclens)).tolist()
    index = plait.Index.create(path, dim=source.embeddings.shape[1], fields={"place": int}, **made)
    index.add_stream(chunks(source), expected=len(places), threads=1)
    index.update_metadata(list(index.ids()), [{"place": place, "other": place} for place in places])
    return index


def chunks(source: VectorSet) -> Iterator[plait.TokenEmbeddings]:
    """The vectors, some documents at a time."""
    for start in range(0, len(source.doclens), DOCUMENTS_PER_CHUNK):
        doclens = source.doclens[start : start + DOCUMENTS_PER_CHUNK]
        first = source.offsets[start]
        rows = source.embeddings[first : first + int(doclens.sum())]
        yield plait.TokenEmbeddings(np.asarray(rows, np.float32), doclens)


def rankings(index: plait.Index, queries: list[Any]) -> list[list[str]]:
    """All documents in the order of a scan, for each query."""
    found = []
    with index._reading() as snapshot:
        for start in range(0, len(queries), QUERIES_TOGETHER):
            some = queries[start : start + QUERIES_TOGETHER]
            for ranking in engine.scan_batch(snapshot, some, snapshot.ndocs):
                ids = snapshot.documents(pid for pid, _ in ranking)
                found.append([ids[pid].id for pid, _ in ranking])
    return found


def report(index: plait.Index, source: VectorSet, made: dict[str, Any], k: int, nqueries: int) -> None:
    """One line for each share of the documents."""
    queries = source.queries("padded")[:: max(1, 200 // nqueries)]
    order = rankings(index, queries)
    for share in SHARES:
        filter = {"place": {"$lt": max(1, round(share * len(index)))}}
        matching = set(index.ids(filter=filter))
        with measure.Stopwatch() as watch:
            hits = [index.search(query, k, filter=filter, threads=1) for query in queries]
        found = [[hit.id for hit in some] for some in hits]
        overlaps = [
            len(set(ids) & set(truth)) / len(truth)
            for ids, ranking in zip(found, order, strict=True)
            for truth in [[one for one in ranking if one in matching][:k]]
        ]
        measure.emit(
            "filters",
            "plait",
            index=made,
            params={"k": k, "share": share, "queries": len(queries)},
            **source.facts(),
            matching=len(matching),
            recall=round(float(np.mean(overlaps)), 4),
            exactly_min_k=all(len(ids) == min(k, len(matching)) for ids in found),
            ms=round(1e3 * watch.cpu / len(queries), 3),
            filter_ms=filter_time(index, filter),
            undeclared_filter_ms=filter_time(index, {"other": filter["place"]}),
        )


def filter_time(index: plait.Index, filter: dict[str, Any], repeats: int = 5) -> float:
    """Milliseconds to find the documents that match, the first time."""
    with index._reading() as snapshot, measure.Stopwatch() as watch:
        catalog = snapshot._open_catalog()
        for _ in range(repeats):
            catalog.pids_where(catalog.condition(filter))
    return round(1e3 * watch.cpu / repeats, 3)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--made", nargs="+", default=["balanced"])
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--queries", type=int, default=100)
    args: argparse.Namespace = parser.parse_args()
    source = VectorSet(args.vectors)
    for name in args.made:
        with tempfile.TemporaryDirectory() as folder:
            index = build(source, Path(folder, "index"), measure.made_with(name))
            report(index, source, measure.made_with(name), args.k, args.queries)
            index.close()


if __name__ == "__main__":
    main()
