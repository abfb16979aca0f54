"""Corpora of any size from a set of real token vectors, made chunk by chunk: what scale.py indexes.

The first documents are those of the VectorSet, unchanged. Beyond them documents are grown: each is made of
runs of consecutive token vectors of 2 to 4 different real passages, 13 to 41 tokens each (81 on average, as
the passages have), to every token noise is added (cosine about .97 with the original) and the sum is
normalised again. Tokens therefore lie where real tokens lie and keep their neighbours, and no two documents
are the same; but a grown document has no subject of its own, and its tokens crowd around those of its
passages more than new text would. Good for time, memory and what pruning loses; not for relevance.

A chunk depends only on the seed and its number: any can be made again by itself, nothing larger is held.
`python benchmarks/corpus.py VECTORS 1000000` says how fast chunks are made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import measure
import numpy as np
import numpy.typing as npt
from vectors import VectorSet

import plait

CHUNK = 8192
#: Documents made at a time: their rows stay in the cache from conversion to normalisation.
BLOCK = 64
FEWEST_PARTS, MOST_PARTS = 2, 4
SHORTEST_RUN, LONGEST_RUN = 13, 41
#: Length of the noise on a vector of length 1: a cosine of 1 / sqrt(1 + .25**2) = .970.
NOISE = 0.25
#: Prepared rows of noise; a block starts at a random one of them.
NOISE_ROWS = 1 << 15
#: Changed with anything that changes the documents.
RECIPE = (
    f"grown-1 {CHUNK} {BLOCK} {FEWEST_PARTS}-{MOST_PARTS} {SHORTEST_RUN}-{LONGEST_RUN} {NOISE} {NOISE_ROWS}"
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Runs:
    """Where the tokens of grown documents come from, ``[ndocs, MOST_PARTS]`` each; length 0: no such part."""

    starts: Array
    lengths: Array

    @property
    def doclens(self) -> Array:
        """i64 ``[ndocs]``."""
        return self.lengths.sum(axis=1)

    def rows(self, docs: slice) -> Array:
        """The real row of each token of these documents."""
        starts, lengths = self.starts[docs].ravel(), self.lengths[docs].ravel()
        ends = np.cumsum(lengths)
        return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)


@dataclass(frozen=True)
class Corpus:
    """The first ``documents`` documents of an endless corpus that begins with a VectorSet.

    Attributes:
        source: real documents, more than ``MOST_PARTS`` of them.
        documents: how many there are.
        seed: of the grown ones.
    """

    source: VectorSet
    documents: int
    seed: int = 0

    def __len__(self) -> int:
        return self.documents

    @property
    def nchunks(self) -> int:
        """Chunks of ``CHUNK`` documents; the last may have fewer."""
        return -(-self.documents // CHUNK)

    def __iter__(self) -> Iterator[plait.TokenEmbeddings]:
        return map(self.chunk, range(self.nchunks))

    def ids(self) -> Iterator[str]:
        """The documents' numbers."""
        return map(str, range(self.documents))

    def chunk(self, number: int) -> plait.TokenEmbeddings:
        """Documents ``number * CHUNK`` and following, f32."""
        first = number * CHUNK
        last = min(first + CHUNK, self.documents)
        real = self._real(first, last)
        if last <= len(self.source.doclens):
            return plait.TokenEmbeddings(
                np.asarray(self.source.embeddings[real], np.float32), self._doclens(number)
            )
        runs, rng = self._runs(number)
        kept = slice(0, last - max(first, len(self.source.doclens)))
        doclens = runs.doclens[kept]
        vectors = np.empty((real.stop - real.start + int(doclens.sum()), self._dim), np.float32)
        vectors[: real.stop - real.start] = self.source.embeddings[real]
        self._grow(runs, kept.stop, rng, vectors[real.stop - real.start :])
        return plait.TokenEmbeddings(vectors, self._doclens(number))

    def facts(self) -> dict[str, Any]:
        """Documents, tokens and dimensions, for result lines."""
        tokens = sum(int(self._doclens(number).sum()) for number in range(self.nchunks))
        return {"documents": self.documents, "tokens": tokens, "dim": self._dim}

    @cached_property
    def digest(self) -> str:
        """Names the content: real vectors, recipe, seed and size.

        The first grown documents are hashed as well: another NumPy may draw other numbers.
        """
        real = min(self.documents, len(self.source.doclens))
        digest = hashlib.blake2b(digest_size=12)
        digest.update(np.ascontiguousarray(self.source.doclens[:real]))
        digest.update(np.ascontiguousarray(self.source.embeddings[: self.source.offsets[real]]))
        if self.documents > real:
            probe = Corpus(self.source, real + min(BLOCK, self.documents - real), self.seed)
            grown = probe.chunk(probe.nchunks - 1).vectors[-BLOCK:]
            digest.update(f"{RECIPE} {self.seed} {self.documents}".encode() + grown.tobytes())
        return digest.hexdigest()

    @property
    def _dim(self) -> int:
        return int(self.source.embeddings.shape[1])

    def _real(self, first: int, last: int) -> slice:
        """Rows of the real ones among these documents."""
        begin, end = np.minimum([first, last], len(self.source.doclens))
        return slice(int(self.source.offsets[begin]), int(self.source.offsets[end]))

    def _doclens(self, number: int) -> Array:
        first = number * CHUNK
        last = min(first + CHUNK, self.documents)
        real = self.source.doclens[first:last]
        if len(real) == last - first:
            return real
        return np.concatenate([real, self._runs(number)[0].doclens[: last - first - len(real)]])

    def _runs(self, number: int) -> tuple[Runs, np.random.Generator]:
        """Runs of a whole chunk of grown documents, and the generator for what else the chunk needs."""
        rng = np.random.default_rng([self.seed, number])
        count = len(self.source.doclens)
        shape = (CHUNK, MOST_PARTS)
        # Steps that can't go round in MOST_PARTS - 1 steps: the passages of a document differ.
        steps = rng.integers(1, (count - 1) // (MOST_PARTS - 1) + 1, shape)
        steps[:, 0] = rng.integers(0, count, CHUNK)
        passages = np.cumsum(steps, axis=1) % count
        lengths = np.minimum(
            rng.integers(SHORTEST_RUN, LONGEST_RUN + 1, shape), self.source.doclens[passages]
        )
        room = self.source.doclens[passages] - lengths
        starts = self.source.offsets[passages] + rng.integers(0, room + 1)
        parts = rng.integers(FEWEST_PARTS, MOST_PARTS + 1, CHUNK)
        lengths[np.arange(MOST_PARTS) >= parts[:, None]] = 0
        return Runs(starts, lengths), rng

    def _grow(self, runs: Runs, ndocs: int, rng: np.random.Generator, out: Array) -> None:
        """Write the vectors of the first ``ndocs`` grown documents of a chunk."""
        end = 0
        for block, shift in enumerate(
            rng.integers(0, NOISE_ROWS - BLOCK * MOST_PARTS * LONGEST_RUN, CHUNK // BLOCK)
        ):
            docs = slice(block * BLOCK, min((block + 1) * BLOCK, ndocs))
            if docs.start >= ndocs:
                return
            rows = runs.rows(docs)
            vectors = out[end : end + len(rows)]
            vectors[:] = np.take(self.source.embeddings, rows, axis=0)
            vectors += self._noise[shift : shift + len(rows)]
            vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
            end += len(rows)

    @cached_property
    def _noise(self) -> Array:
        """f32 ``[NOISE_ROWS, dim]``: rows of length ``NOISE``."""
        rows = np.random.default_rng(self.seed).standard_normal((NOISE_ROWS, self._dim), dtype=np.float32)
        return rows * (NOISE / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("documents", type=int)
    parser.add_argument("--chunks", type=int, default=5)
    options = parser.parse_args()
    corpus = Corpus(VectorSet(options.vectors), options.documents)
    numbers = range(max(0, corpus.nchunks - options.chunks), corpus.nchunks)
    corpus.chunk(numbers[0])  # prepares the noise
    with measure.Stopwatch() as watch:
        tokens = sum(corpus.chunk(number).ntokens for number in numbers)
    print(f"{tokens / watch.cpu / 1e6:.2f} M tokens per CPU second, {measure.peak_rss() >> 20} MB at most")


if __name__ == "__main__":
    main()
