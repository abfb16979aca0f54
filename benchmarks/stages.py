"""Where the time of a search goes: `python benchmarks/stages.py VECTORS [--made balanced] [--index FOLDER]`.

Index.search runs with a clock around every kernel and around the reading of rows and documents. Reported is
the median over queries of the CPU milliseconds spent in each itself, not in what it calls; "Python and
NumPy" is the
rest of the call.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import measure
import numpy as np
from vectors import VectorSet

import plait
from plait import kernels
from plait.store import Segment, Snapshot

CLOCKED = {
    "rotate and merge the query": ((kernels, "rotate"), (kernels, "merge_tokens")),
    "centroids": ((kernels, "top_rows"), (kernels, "centroid_scores"), (kernels, "top_centroids")),
    "gather": ((kernels, "gather_top"), (kernels, "gather")),
    "centroid interaction": ((kernels, "approximate"),),
    "rescore": ((kernels, "maxsim_scaled"), (kernels, "maxsim_codes")),
    "f32 MaxSim": ((kernels, "maxsim_decoded"), (kernels, "maxsim")),
    "reconstruction": ((kernels, "decompress"), (Segment, "vectors")),
    "documents from SQLite": ((Snapshot, "documents"),),
}
REST = "Python and NumPy"


class Clock:
    """CPU seconds of named functions, each without those it calls."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    def _switch(self) -> None:
        now = time.process_time()
        if self._running:
            self.spent[self._running[-1]] += now - self._since
        self._since = now

    @contextmanager
    def in_stage(self, name: str) -> Iterator[None]:
        """Book the block's time on ``name``."""
        self._switch()
        self._running.append(name)
        yield
        self._switch()
        self._running.pop()

    def clocked(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a clock around it."""

        def call(*args: Any, **keywords: Any) -> Any:
            with self.in_stage(name):
                return function(*args, **keywords)

        return call


def stages(
    index: plait.Index, queries: list[np.ndarray], k: int, params: plait.SearchParams
) -> dict[str, float]:
    """Median CPU milliseconds of each stage."""
    clock = Clock()
    times = defaultdict(list)
    with ExitStack() as patches:
        for name, clocked in CLOCKED.items():
            for owner, attribute in clocked:
                wrapped = clock.clocked(name, getattr(owner, attribute))
                patches.enter_context(patch.object(owner, attribute, wrapped))
        for query in queries[:20] + queries:
            clock.spent.clear()
            with clock.in_stage(REST):
                index.search(query, k, params=params, threads=1)
            for name in (*CLOCKED, REST):
                times[name].append(clock.spent[name] * 1e3)
    return {name: round(float(np.median(spent[20:])), 3) for name, spent in times.items()}


def report(source: VectorSet, path: Path, made: dict[str, Any], k: int, kind: str, scan: bool | None) -> None:
    queries = source.queries(kind)
    params = plait.SearchParams(scan=True) if scan else plait.SearchParams.for_k(k, len(source.doclens))
    with plait.Index.open(path) as index:
        measure.emit(
            "stages",
            "plait",
            index=made,
            params={"k": k, "queries": kind, "scan": scan},
            **source.facts(),
            whole_cpu_ms=measure.per_query(
                lambda query: index.search(query, k, params=params, threads=1), queries
            )["cpu_ms"],
            stages_cpu_ms=stages(index, queries, k, params),
        )


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--made", default="balanced", help="a level, or bits of the residual codec")
    parser.add_argument("--index", type=Path, help="keep the index here, or use the one that is there")
    options = parser.parse_args()
    source, made = VectorSet(options.vectors), measure.made_with(options.made)
    with tempfile.TemporaryDirectory() as folder:
        path = options.index or Path(folder) / "index"
        if not path.exists():
            vectors = plait.TokenEmbeddings(source.embeddings, source.doclens)
            with plait.Index.create(path, dim=vectors.dim, **made) as index:
                index.add(source.texts(), vectors=vectors)
        for k in (10, 100, 1000):
            report(source, path, made, k, "padded", None)
        report(source, path, made, 10, "ragged", None)
        report(source, path, made, 10, "padded", True)


if __name__ == "__main__":
    main()
