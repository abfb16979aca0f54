"""MaxSim of one query with 1000 candidates: plait's kernels beside NumPy, torch, maxsim-cpu and numkong.

    python benchmarks/rescoring.py VECTORS                                       (plait)
    PYTHONPATH=benchmarks ENV/bin/python benchmarks/rescoring.py VECTORS         (the others)

ENV has `pip install numpy torch==2.13.0 maxsim-cpu numkong` (torch's CPU build). Each environment measures
what it can import. 32 query tokens and documents of 80 tokens, 128 dimensions, the same real vectors for
all; what an engine can prepare before it sees the query (casting, packing) is not in its time. One thread,
median CPU milliseconds per query over 10 queries.

Not all are exact, so three figures stand beside each time, against float64: the largest error of a score,
the rank correlation (Spearman) of the 1000 scores, and the share of the best 10 that are right. plait's
"index" is not a bare kernel but a whole Index.search that scans an index of the 1000 documents for the best
10.
"""

from __future__ import annotations

import atexit
import importlib
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import measure  # first: keeps everything to one thread
import numpy as np
import numpy.typing as npt
from vectors import VectorSet

NDOCS, DOCLEN, QUERIES, K = 1000, 80, 10, 10

Array = npt.NDArray[Any]
#: query f32 [nq, dim] -> scores [NDOCS], higher is better
Scorer: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Way:
    """Scores of all documents, and what is timed where that is something else."""

    score: Scorer
    timed: Callable[[Array], Any] | None = None


def documents(source: VectorSet) -> Array:
    """f32 ``[NDOCS, DOCLEN, dim]``: the beginnings of the first documents that are long enough.

    Raises:
        SystemExit: there are too few.
    """
    chosen = np.flatnonzero(source.doclens >= DOCLEN)[:NDOCS]
    if len(chosen) < NDOCS:
        raise SystemExit(f"{source.folder} has fewer than {NDOCS} documents of {DOCLEN} tokens")
    rows = source.offsets[chosen][:, None] + np.arange(DOCLEN)
    return np.ascontiguousarray(source.embeddings[rows], dtype=np.float32)


def truth(docs: Array, query: Array) -> Array:
    return (docs.astype(np.float64) @ query.T.astype(np.float64)).max(axis=1).sum(axis=1)


def numpy(docs: Array) -> dict[str, Way]:
    rows = docs.reshape(-1, docs.shape[2])

    def score(query: Array) -> Array:
        return (rows @ query.T).reshape(NDOCS, DOCLEN, -1).max(axis=1).sum(axis=1)

    return {"float32": Way(score)}


def plait(docs: Array) -> dict[str, Way]:
    import plait as engine
    from plait import kernels

    rows = docs.reshape(-1, docs.shape[2])
    offsets, everything = np.arange(NDOCS + 1) * DOCLEN, np.arange(NDOCS, dtype=np.uint32)
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    index = engine.Index.create(Path(folder.name) / "index", dim=docs.shape[2])
    index.add(vectors=engine.TokenEmbeddings(rows, np.full(NDOCS, DOCLEN)), threads=1)
    params = engine.SearchParams(scan=True)

    def search(query: Array) -> Array:
        scores = np.empty(NDOCS)
        for hit in index.search(query, NDOCS, params=params, threads=1):
            scores[int(hit.id)] = hit.score
        return scores

    return {
        "float32": Way(lambda query: kernels.maxsim(query, rows, offsets, everything)),
        "index": Way(search, lambda query: index.search(query, K, params=params, threads=1)),
    }


def torch(docs: Array) -> dict[str, Way]:
    import torch as engine

    engine.set_num_threads(1)

    def scorer(dtype: Any) -> Scorer:
        rows = engine.from_numpy(docs).view(-1, docs.shape[2]).to(dtype)

        def score(query: Array) -> Array:
            dots = rows @ engine.from_numpy(query).to(dtype).T
            return dots.view(NDOCS, DOCLEN, -1).amax(dim=1).float().sum(dim=1).numpy()

        return score

    return {"float32": Way(scorer(engine.float32)), "bfloat16": Way(scorer(engine.bfloat16))}


def maxsim_cpu(docs: Array) -> dict[str, Way]:
    import maxsim_cpu as engine

    return {"float32": Way(lambda query: np.asarray(engine.maxsim_scores(query, docs)))}


def numkong(docs: Array) -> dict[str, Way]:
    import numkong as engine

    packed = [engine.maxsim_pack(document) for document in docs]

    def score(query: Array) -> Array:
        """The sum of the least angular distances, turned round."""
        asked = engine.maxsim_pack(query)
        return len(query) - np.array([engine.maxsim_packed(asked, document) for document in packed])

    return {"float32, packed": Way(score)}


ENGINES: dict[str, Callable[[Array], dict[str, Way]]] = {
    "plait": plait,
    "numpy": numpy,
    "torch": torch,
    "maxsim-cpu": maxsim_cpu,
    "numkong": numkong,
}


def rank_correlation(found: Array, exact: Array) -> float:
    ranks = [np.argsort(np.argsort(scores)) for scores in (found, exact)]
    return float(np.corrcoef(*ranks)[0, 1])


def report(engine: str, name: str, way: Way, docs: Array, queries: list[Array]) -> None:
    found, exact = [way.score(query) for query in queries], [truth(docs, query) for query in queries]
    pairs = list(zip(found, exact, strict=True))
    measure.emit(
        "rescoring",
        engine,
        params={"way": name, "documents": NDOCS, "doc_tokens": DOCLEN, "query_tokens": len(queries[0])},
        dim=docs.shape[2],
        largest_error=round(max(float(np.abs(a - b).max()) for a, b in pairs), 6),
        rank_correlation=round(float(np.mean([rank_correlation(a, b) for a, b in pairs])), 4),
        best_10=measure.overlap([np.argsort(-a) for a in found], [np.argsort(-b) for b in exact], K),
        **measure.per_query(way.timed or way.score, queries, repeats=5, warm=3),
    )


def installed(engine: str) -> bool:
    try:
        importlib.import_module(engine.replace("-", "_"))
    except ImportError:
        print(f"{engine} is not installed here: left out", file=sys.stderr)
        return False
    return True


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    options = parser.parse_args()
    source = VectorSet(options.vectors)
    docs = documents(source)
    queries = source.queries("padded")[:: len(source.queries("padded")) // QUERIES][:QUERIES]
    for engine in filter(installed, options.engines):
        for name, way in ENGINES[engine](docs).items():
            report(engine, name, way, docs, queries)


if __name__ == "__main__":
    main()
