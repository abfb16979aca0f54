"""plait on corpora of any size: `python benchmarks/scale.py VECTORS DOCUMENTS [--create level=balanced ...]`.

Builds an index from a streamed corpus (corpus.py) in a process of its own and measures it: building (CPU and
wall seconds, tokens per second, most memory), bytes on disk, memory after opening and asking, and for k = 10
and 100 milliseconds per query, queries per second on 1 and 2 threads, and two recalls:
    search_recall  the search with an exhaustive scan of the same codes: lost by pruning. Up to a million
                   tokens every document is scored in f32 (plait.search.scan), in larger indexes in int8 and
                   those that may be among the best again in f32
    recall         the search with exact f32 MaxSim on the vectors: what the user gets. Only where
                   reference.py has been run for the same corpus and as many queries.

    --create KEY=VALUE ...      arguments of Index.create; may be given several times, an index for each
    --sweep FIELD=V,V ...       measure all combinations of these values of SearchParams, too
    --index FOLDER              keep the indexes here; one that is there is not built again
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import measure
import numpy as np
import numpy.typing as npt
from corpus import Corpus
from reference import cache_file, spread
from vectors import VectorSet

import plait
from plait.search import scan, search
from plait.store import open_snapshot

Array = npt.NDArray[Any]
Settings = dict[str, Any]

KS = (10, 100)
THREADS = (1, 2)
#: Tokens up to which a scan is made in f32.
F32_TOKENS = 1_000_000


def defaults(k: int, index: plait.Index) -> plait.SearchParams:
    """What Index.search uses when it is given no parameters."""
    return plait.SearchParams.for_k(k, len(index))


def build(vectors: Path, documents: int, path: Path, settings: Settings, threads: int) -> dict[str, Any]:
    """Build an index; its cost."""
    corpus = Corpus(VectorSet(vectors), documents)
    facts = corpus.facts()
    before = measure.rss()
    with measure.Stopwatch() as watch, plait.Index.create(path, dim=facts["dim"], **settings) as index:
        index.add_stream(iter(corpus), ids=corpus.ids(), expected=documents, threads=threads)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return facts | {
        "build_cpu_s": round(watch.cpu, 2),
        "build_wall_s": round(watch.wall, 2),
        "tokens_per_cpu_s": round(facts["tokens"] / watch.cpu),
        "tokens_per_s": round(facts["tokens"] / watch.wall),
        "peak_rss": measure.peak_rss(),
        "rss_before": before,
        "bytes_per_token": round(size / facts["tokens"], 2),
        "bytes_per_million_documents": round(size / facts["documents"] * 1_000_000),
    }


def open_and_ask(path: Path, queries: Sequence[Array]) -> dict[str, Any]:
    """Open an index and ask, in a process that has done nothing else."""
    with measure.Stopwatch() as watch:
        index = plait.Index.open(path)
        index.search(queries[0], 10, threads=1)
    opened = measure.rss()
    for query in queries:
        index.search(query, 10, threads=1)
    return {
        "open_and_first_query_cpu_ms": round(watch.cpu * 1e3, 2),
        "open_and_first_query_wall_ms": round(watch.wall * 1e3, 2),
        "rss_first_query": opened,
        "rss_all_queries": measure.rss(),
        "queries": len(queries),
    }


def scanned(path: Path, queries: Sequence[Array], k: int) -> list[list[str]]:
    """Ids of the best k of each query by an exhaustive scan of the index."""
    with closing(open_snapshot(path)) as snapshot:
        tokens = sum(row.ntokens for row in snapshot.segment_rows)
        everything = plait.SearchParams(scan=True)

        def best(query: Array) -> list[tuple[int, float]]:
            if tokens <= F32_TOKENS:
                return scan(snapshot, query, k)
            return search(snapshot, query, k, everything, threads=None)

        found = [[pid for pid, _ in best(query)] for query in queries]
        documents = snapshot.documents({pid for pids in found for pid in pids})
        return [[documents[pid].id for pid in pids] for pids in found]


@dataclass
class Measurement:
    """One index and what it should find.

    Attributes:
        index: what is searched.
        facts: of every line that is printed.
        settings: what the index was made with.
        queries: f32 ``[nq, dim]`` each.
        exact: numbers of the best 100 documents of each query, or None.
        scans: ids of the best 100 of an exhaustive scan, for the first few of ``asked_again``.
        asked_again: the queries that ``scans`` belong to.
    """

    index: plait.Index
    facts: dict[str, Any]
    settings: Settings
    queries: list[Array]
    exact: Array | None
    scans: list[list[str]]
    asked_again: list[Array]

    def report(self, name: str, k: int, params: plait.SearchParams, repeats: int = 3) -> None:
        """Time one set of parameters, one query after the other, and print its recalls."""

        def run(query: Array) -> list[str]:
            return [hit.id for hit in self.index.search(query, k, params=params, threads=1)]

        recalls = {"search_recall": measure.overlap(map(run, self.asked_again), self.scans, k)}
        if self.exact is not None:
            truth = [[str(number) for number in row] for row in self.exact]
            recalls["recall"] = measure.overlap(map(run, self.queries), truth, k)
        times = measure.per_query(run, self.queries, repeats=repeats)
        self._emit("scale", name, k, params, **recalls, **times, scan_queries=len(self.asked_again))

    def throughput(self, k: int, params: plait.SearchParams) -> None:
        """Queries per second of a batch."""
        for threads in THREADS:
            self.index.search_all(self.queries[:20], k, params=params, threads=threads)
            with measure.Stopwatch() as watch:
                self.index.search_all(self.queries, k, params=params, threads=threads)
            count = len(self.queries)
            rates = {"qps": round(count / watch.wall, 1), "qps_cpu": round(count / watch.cpu, 1)}
            self._emit("throughput", "default", k, params, threads=threads, queries=count, **rates)

    def _emit(self, benchmark: str, name: str, k: int, params: plait.SearchParams, **figures: Any) -> None:
        asked = {"k": k, "query_tokens": len(self.queries[0]), "name": name} | asdict(params)
        measure.emit(benchmark, "plait", index=self.settings, params=asked, **self.facts, **figures)


def grid(fields: Sequence[str]) -> Iterator[Settings]:
    """All combinations of ``FIELD=V,V``."""
    pairs = [field.split("=", 1) for field in fields]
    values = [[parsed(value) for value in texts.split(",")] for _, texts in pairs]
    for combination in itertools.product(*values):
        yield dict(zip([name for name, _ in pairs], combination, strict=True))


def parsed(text: str) -> Any:
    """A number or the like, or the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def measure_index(corpus: Corpus, path: Path, settings: Settings, options: argparse.Namespace) -> None:
    queries = spread(corpus.source.queries("padded"), options.queries)
    if not path.exists():
        built = measure.in_new_process(build, options.vectors, len(corpus), path, settings, options.threads)
        measure.emit("scale_build", "plait", threads=options.threads, index=settings, **built)
    facts = corpus.facts()
    opened = measure.in_new_process(open_and_ask, path, queries)
    measure.emit("scale_open", "plait", index=settings, **facts, **opened)
    reference = cache_file(corpus, queries, options.cache)
    exact = np.load(reference) if reference.exists() else None
    asked_again = spread(queries, options.scan_queries)
    scans = scanned(path, asked_again, max(KS))
    with plait.Index.open(path) as index:
        measured = Measurement(index, facts, settings, queries, exact, scans, asked_again)
        for k in KS:
            params = defaults(k, index)
            measured.report("default", k, params)
            measured.throughput(k, params)
            for fields in grid(options.sweep) if options.sweep else ():
                measured.report("sweep", k, replace(params, **fields), repeats=1)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("documents", type=int)
    parser.add_argument("--create", action="append", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--sweep", nargs="+", metavar="FIELD=V,V")
    parser.add_argument("--index", type=Path)
    parser.add_argument("--queries", type=int, help="200, or 50 of a million documents and more")
    parser.add_argument("--scan-queries", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2, help="for building")
    parser.add_argument("--cache", type=Path, help="where reference.py was told to keep the exact results")
    options = parser.parse_args()
    million = options.documents >= 1_000_000
    options.queries = options.queries or (50 if million else 200)
    options.cache = options.cache or options.vectors / "reference"
    corpus = Corpus(VectorSet(options.vectors), options.documents)
    with tempfile.TemporaryDirectory() as folder:
        for create in options.create or [[]]:
            settings = {key: parsed(value) for key, value in (entry.split("=", 1) for entry in create)}
            name = "-".join([str(options.documents), *create])
            measure_index(corpus, (options.index or Path(folder)) / name, settings, options)


if __name__ == "__main__":
    main()
