"""What the scripts of all rivals share: build in one process, search in another, print the same lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import measure
import numpy as np
import numpy.typing as npt
from vectors import VectorSet

Search: TypeAlias = Callable[[npt.NDArray[np.float32]], list[int]]
Searches: TypeAlias = Iterator[tuple[dict[str, Any], int, Search]]


def documents(source: VectorSet) -> list[npt.NDArray[np.float32]]:
    """One f32 matrix per document."""
    rows = np.asarray(source.embeddings, dtype=np.float32)
    return np.split(rows, source.offsets[1:-1])


def main(
    engine: str,
    build: Callable[[VectorSet, Path, int], None],
    open_index: Callable[[Path], Any],
    searches: Callable[[Any], Searches],
) -> None:
    """The command line: STAGE VECTORS INDEX [--nbits N] [--queries N]."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=("build", "search"))
    parser.add_argument("vectors", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--nbits", type=int, default=4)
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args()
    source = VectorSet(options.vectors)
    if options.stage == "build":
        _build(engine, source, options, build)
    else:
        _search(engine, source, options, open_index, searches)


def _build(engine: str, source: VectorSet, options: argparse.Namespace, build: Any) -> None:
    with measure.Stopwatch() as watch:
        build(source, options.index, options.nbits)
    size = sum(path.stat().st_size for path in options.index.rglob("*") if path.is_file())
    tokens = len(source.embeddings)
    measure.emit(
        "build",
        engine,
        params={"nbits": options.nbits},
        **source.facts(),
        build_cpu_s=round(watch.cpu, 1),
        build_wall_s=round(watch.wall, 1),
        tokens_per_cpu_s=round(tokens / watch.cpu),
        peak_rss=measure.peak_rss(),
        bytes_per_token=round(size / tokens, 2),
    )


def _search(
    engine: str, source: VectorSet, options: argparse.Namespace, open_index: Any, searches: Any
) -> None:
    step = max(1, len(source.queries("padded")) // options.queries)
    queries = source.queries("padded")[::step]
    truth = np.load(source.exact_file("padded"))[::step]
    with measure.Stopwatch() as opening:
        opened = open_index(options.index)
        next(searches(opened))[2](queries[0])
    measure.emit(
        "open",
        engine,
        params={"nbits": options.nbits},
        **source.facts(),
        open_and_first_query_cpu_ms=round(opening.cpu * 1e3, 1),
        open_and_first_query_wall_ms=round(opening.wall * 1e3, 1),
        rss=measure.rss(),
    )
    for params, k, search in searches(opened):
        found = [search(query) for query in queries]
        measure.emit(
            "search",
            engine,
            params={"nbits": options.nbits, "k": k, "query_tokens": 32} | params,
            **source.facts(),
            recall=measure.overlap(found, truth, k),
            **measure.per_query(search, queries, repeats=1, warm=0),
            peak_rss=measure.peak_rss(),
        )
