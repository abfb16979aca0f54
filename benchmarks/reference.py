"""Exact f32 MaxSim over a corpus of any size: the truth that scale.py measures recall against.

    python benchmarks/reference.py VECTORS 1000000 [--queries 50] [--threads 1] [--cache FOLDER]

A kernel scores about 10 million tokens per second and query, so a million documents cost 8 CPU seconds per
query. The best 100 are kept in a file named after the content of the corpus and the queries.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import numpy as np
import numpy.typing as npt
from corpus import CHUNK, Corpus
from vectors import VectorSet

from plait import TokenEmbeddings, kernels
from plait.threads import map_threads, row_blocks

DEPTH = 100
#: Documents scored for all queries before the next ones: their vectors stay in the cache.
DOCS_PER_BLOCK = 64

Array = npt.NDArray[Any]


@dataclass
class Best:
    """The best documents of each query so far, best first, ties by number: both ``[nqueries, <= k]``."""

    k: int
    documents: Array
    scores: Array

    @classmethod
    def none(cls, nqueries: int, k: int) -> Best:
        """Of no documents."""
        return cls(k, np.empty((nqueries, 0), np.int64), np.empty((nqueries, 0), np.float32))

    def add(self, first: int, scores: Array) -> None:
        """Scores f32 ``[nqueries, ndocs]`` of the documents from number ``first`` on."""
        numbers = np.broadcast_to(np.arange(first, first + scores.shape[1]), scores.shape)
        documents = np.concatenate([self.documents, numbers], axis=1)
        together = np.concatenate([self.scores, scores], axis=1)
        # Earlier numbers stand first, so a stable sort leaves ties in their order.
        order = np.argsort(-together, axis=1, kind="stable")[:, : self.k]
        self.documents = np.take_along_axis(documents, order, axis=1)
        self.scores = np.take_along_axis(together, order, axis=1)


def scores_of(chunk: TokenEmbeddings, queries: Sequence[Array], threads: int = 1) -> Array:
    """F32 ``[nqueries, ndocs]``."""

    def score(docs: slice) -> Array:
        block = chunk[docs]
        everything = np.arange(len(block), dtype=np.uint32)
        return np.stack(
            [kernels.maxsim(query, block.vectors, block.offsets, everything) for query in queries]
        )

    return np.concatenate(map_threads(score, row_blocks(len(chunk), DOCS_PER_BLOCK), threads), axis=1)


def best(corpus: Corpus, queries: Sequence[Array], k: int = DEPTH, threads: int = 1) -> Array:
    """i64 ``[nqueries, k]``: the best documents of each query by exact MaxSim, best first."""
    found = Best.none(len(queries), k)
    for number, chunk in enumerate(corpus):
        found.add(number * CHUNK, scores_of(chunk, queries, threads))
        print(f"\rexact: {number + 1} of {corpus.nchunks} chunks", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found.documents


def cache_file(corpus: Corpus, queries: Sequence[Array], folder: Path) -> Path:
    """Where the best ``DEPTH`` of these queries are kept."""
    digest = hashlib.blake2b(corpus.digest.encode(), digest_size=12)
    for query in queries:
        digest.update(np.ascontiguousarray(query, dtype=np.float32))
    return folder / f"reference-{corpus.documents}-{len(queries)}-{digest.hexdigest()}.npy"


def reference(corpus: Corpus, queries: Sequence[Array], folder: Path, threads: int = 1) -> Array:
    """``best(corpus, queries)``, from the folder if it is there."""
    path = cache_file(corpus, queries, folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, best(corpus, queries, DEPTH, threads))
    return np.load(path)


def spread(queries: Sequence[Array], count: int) -> list[Array]:
    """``count`` of the queries, evenly spaced: known items and held-out titles in their proportions."""
    return [queries[place] for place in np.linspace(0, len(queries) - 1, count).round().astype(int)]


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("documents", type=int)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--kind", choices=("padded", "ragged"), default="padded")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="VECTORS/reference by default")
    options = parser.parse_args()
    source = VectorSet(options.vectors)
    folder = options.cache or options.vectors / "reference"
    corpus, queries = Corpus(source, options.documents), spread(source.queries(options.kind), options.queries)
    with measure.Stopwatch() as watch:
        reference(corpus, queries, folder, options.threads)
    print(f"{cache_file(corpus, queries, folder)}: {watch.cpu:.0f} CPU seconds")


if __name__ == "__main__":
    main()
