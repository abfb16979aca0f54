"""plait on the vectors of vectors.py: `python benchmarks/search.py VECTORS [--made ...] [--sweep 10 ...]`.

Three recalls, each the mean overlap of two lists of the best k over 200 queries (100 in a sweep):
    search_recall  the search with a scan (f32 MaxSim over all documents, on the same codes): lost by pruning
    codec_recall   that scan with exact f32 MaxSim on the original vectors: lost by compression
    recall         the search with exact MaxSim: what the user gets
    recall_every_4th   the same over every fourth query, as run_rivals.py asks other engines
Times are those of Index.search with the query's token vectors, one thread: ids and texts are fetched,
encoding is not in it. --sweep measures a grid of parameters for these k. Building and the first query of a
process run in processes of their own. --made says with what the indexes are made: levels ("balanced"), or
bits of the residual codec ("4").
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import measure
import numpy as np
import numpy.typing as npt
from exact import best, exact
from vectors import VectorSet

import plait
from plait.codec import ScaledCodec
from plait.store import open_snapshot

Array = npt.NDArray[Any]

KS = (10, 100, 1000)
#: k -> the values of nprobe, ngroups and ndocs that --sweep combines.
GRIDS = {
    10: ((4, 7, 10, 14, 20, 28, 40), (4, 8, 16), (40, 80, 160)),
    100: ((7, 14, 28, 56), (4, 8, 16), (100, 200, 400)),
    1000: ((28, 56, 112), (8, 16), (1000, 2000)),
}


class Reconstructed:
    """The token vectors of an index's only segment, made when they are asked for."""

    def __init__(self, index: Path) -> None:
        (self.segment,) = open_snapshot(index).segments

    def __getitem__(self, rows: slice) -> Array:
        arrays, codec = self.segment.arrays, self.segment.codec
        if codec is None:
            return arrays["vectors"][rows]
        names = ["codes", "residuals", *(["gains"] if isinstance(codec, ScaledCodec) else [])]
        return codec.decompress(*(arrays[name][rows] for name in names))


def build(folder: Path, path: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Build an index; its cost."""
    source = VectorSet(folder)
    texts = source.texts()
    vectors = plait.TokenEmbeddings(source.embeddings, source.doclens)
    before = measure.rss()
    with measure.Stopwatch() as watch:
        index = plait.Index.create(path, dim=vectors.dim, **made)
        index.add(texts, vectors=vectors, threads=1)
    return {
        "build_cpu_s": round(watch.cpu, 2),
        "build_wall_s": round(watch.wall, 2),
        "tokens_per_cpu_s": round(vectors.ntokens / watch.cpu),
        "peak_rss": measure.peak_rss(),
        "rss_before": before,
        "bytes_per_token": index.stats().bytes_per_token,
        "centroids": index.stats().centroids,
    }


def open_and_search(folder: Path, path: Path) -> dict[str, Any]:
    """Open an index and ask one query, in a process that has done nothing else."""
    query = VectorSet(folder).queries("padded")[0]
    with measure.Stopwatch() as watch:
        plait.Index.open(path).search(query, 10, threads=1)
    return {
        "open_and_first_query_cpu_ms": round(watch.cpu * 1e3, 2),
        "open_and_first_query_wall_ms": round(watch.wall * 1e3, 2),
        "rss": measure.rss(),
    }


class Measurement:
    """One index: timings and recalls of any parameters on it."""

    def __init__(
        self, source: VectorSet, path: Path, made: dict[str, Any], kind: str, every: int = 1
    ) -> None:
        self.source = source
        self.index = plait.Index.open(path)
        self.queries = source.queries(kind)[::every]
        self.kind = kind
        self.made = made
        self.exact = exact(source, kind)[::every]
        self.scan = best(Reconstructed(path), source.offsets, self.queries)

    def report(self, name: str, k: int, params: plait.SearchParams, repeats: int = 3) -> None:
        """Time one set of parameters and print its recalls."""

        def run(query: Array) -> list[int]:
            return [int(hit.id) for hit in self.index.search(query, k, params=params, threads=1)]

        found = [run(query) for query in self.queries]
        tokens = 32 if self.kind == "padded" else round(float(np.mean([len(q) for q in self.queries])), 1)
        measure.emit(
            "search",
            "plait",
            index=self.made,
            params={"k": k, "query_tokens": tokens, "queries": self.kind} | {"name": name} | asdict(params),
            **self.source.facts(),
            recall=measure.overlap(found, self.exact, k),
            recall_every_4th=measure.overlap(found[::4], self.exact[::4], k),
            search_recall=measure.overlap(found, self.scan, k),
            codec_recall=measure.overlap(self.scan, self.exact, k),
            **measure.per_query(run, self.queries, repeats=repeats),
            peak_rss=measure.peak_rss(),
        )


def grid(k: int) -> Iterator[plait.SearchParams]:
    for nprobe, ngroups, ndocs in itertools.product(*GRIDS[k]):
        yield plait.SearchParams(nprobe=nprobe, ngroups=ngroups, ndocs=ndocs, scan=False)


def run(options: argparse.Namespace, made: dict[str, Any], path: Path) -> None:
    source = VectorSet(options.vectors)
    facts = {"index": made} | source.facts()
    measure.emit("build", "plait", **facts, **measure.in_new_process(build, source.folder, path, made))
    measure.emit("open", "plait", **facts, **measure.in_new_process(open_and_search, source.folder, path))
    for kind in ("padded", "ragged"):
        measured = Measurement(source, path, made, kind)
        for k in KS:
            measured.report("default", k, plait.SearchParams.for_k(k), repeats=3 if k < 1000 else 1)
            if k < 1000:
                measured.report("scan", k, plait.SearchParams(scan=True))


def sweep(options: argparse.Namespace, made: dict[str, Any], path: Path) -> None:
    measured = Measurement(VectorSet(options.vectors), path, made, "padded", every=2)
    for k in options.sweep:
        for params in grid(k):
            measured.report("sweep", k, params, repeats=1)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--made", nargs="+", default=["compact", "balanced", "precise", "4"])
    parser.add_argument("--sweep", type=int, nargs="*", default=[], choices=sorted(GRIDS), metavar="K")
    options = parser.parse_args()
    for made in map(measure.made_with, options.made):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            run(options, made, path)
            if options.sweep:
                sweep(options, made, path)


if __name__ == "__main__":
    main()
